/* The interactive part of report.html. It turns surfaces, scrolls slices and looks up rows that liverplan wrote;
   it computes no measurement and no verdict. Works from disk: no request leaves the page. */
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const json = (id) => { const node = byId(id); return node ? JSON.parse(node.textContent) : null; };
  const table = json("lp-table");
  const css = (rgb) => `rgb(${rgb.join(",")})`;

  async function unpacked(text, Type) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const opened = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Type(await new Response(opened).arrayBuffer());
  }

  /* --- margin slider: one row of the table per step --- */
  const listeners = [];
  function marginSlider() {
    const slider = byId("lp-margin");
    if (!slider) return;
    slider.max = table.rows.length - 1;
    slider.value = Math.max(table.rows.findIndex((row) => row.margin_mm === table.start_mm), 0);
    const show = () => {
      const row = table.rows[slider.value];
      const words = `${row.margin_mm} mm`;
      slider.setAttribute("aria-valuetext", words);
      byId("lp-margin-value").textContent = words;
      for (const key of ["removed", "remnant", "functional", "geometric"]) byId(`lp-${key}`).textContent = row[key];
      const list = byId("lp-bounds");
      list.replaceChildren(...row.lesions.map((says, n) => {
        const item = document.createElement("li");
        item.textContent = `Lesion ${table.lesions[n].id}: ${says}`;
        return item;
      }));
      listeners.forEach((listener) => listener(row.margin_mm));
    };
    slider.addEventListener("input", show);
    show();
  }

  /* --- 3D --- */
  const RIM = "float facing = abs(normalize(normal).z);" +
    "diffuseColor.a = clamp(opacity * (0.35 + 2.4 * pow(1.0 - facing, 2.2)), 0.0, 0.85);\n#include <output_fragment>";

  function material(part) {
    const look = new THREE.MeshPhongMaterial({
      color: new THREE.Color(css(part.rgb)), specular: 0x151515, shininess: 30, side: THREE.DoubleSide,
      transparent: part.opacity < 1, depthWrite: part.opacity >= 1, opacity: part.opacity,
    });
    // As in the printed pictures: clearest where a surface faces the viewer, so that the outline stays.
    if (part.opacity < 1) {
      look.onBeforeCompile = (shader) => {
        shader.fragmentShader = shader.fragmentShader.replace("#include <output_fragment>", RIM);
      };
    }
    return look;
  }

  async function surface(part, data) {
    const steps = await unpacked(part.points, Uint16Array);
    const points = new Float32Array(steps.length);
    for (let n = 0; n < steps.length; n++) points[n] = data.low_lps_mm[n % 3] + steps[n] / 65535 * data.size_mm[n % 3];
    const geometry = new THREE.BufferGeometry();
    geometry.setAttribute("position", new THREE.BufferAttribute(points, 3));
    geometry.setIndex(new THREE.BufferAttribute(await unpacked(part.faces, part.wide ? Uint32Array : Uint16Array), 1));
    geometry.computeVertexNormals();
    const mesh = new THREE.Mesh(geometry, material(part));
    mesh.visible = part.shown;
    mesh.renderOrder = part.name === "liver" ? 3 : part.opacity < 1 ? 2 : 1;
    return mesh;
  }

  function line(entry) {
    const [start, end] = entry.ends.map((p) => new THREE.Vector3(...p)), drawn = new THREE.Group();
    const paint = new THREE.MeshBasicMaterial({ color: css(table.witness_rgb), depthTest: false, transparent: true });
    const add = (geometry, at) => {
      const mesh = new THREE.Mesh(geometry, paint);
      mesh.renderOrder = 9;
      if (at) mesh.position.copy(at);
      drawn.add(mesh);
    };
    if (start.distanceTo(end) > 0.01) add(new THREE.TubeGeometry(new THREE.LineCurve3(start, end), 1, 0.7, 8));
    [start, end].forEach((at) => add(new THREE.SphereGeometry(1.3, 12, 8), at));
    return drawn;
  }

  function checkbox(words, rgb, checked, change) {
    const label = document.createElement("label"), box = document.createElement("input"), patch = document.createElement("i");
    box.type = "checkbox";
    box.checked = checked;
    box.addEventListener("change", () => change(box.checked));
    patch.style.background = css(rgb);
    label.append(box, patch, document.createTextNode(words));
    return label;
  }

  async function start3d() {
    const data = json("lp-scene"), stage = byId("lp-stage"), canvas = byId("lp-canvas");
    const renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
    const scene = new THREE.Scene(), camera = new THREE.OrthographicCamera(-1, 1, 1, -1, 1, 5000);
    const lamp = new THREE.DirectionalLight(0xffffff, 0.8);
    scene.add(lamp, new THREE.AmbientLight(0xffffff, 0.42));
    const focus = new THREE.Vector3(...data.focus_lps_mm), reach = data.radius_mm;
    const labels = [], toggles = byId("lp-toggles");
    let half = reach;

    const draw = () => {
      const width = stage.clientWidth, height = stage.clientHeight;
      renderer.setPixelRatio(Math.min(window.devicePixelRatio || 1, 2));
      renderer.setSize(width, height, false);
      Object.assign(camera, { top: half, bottom: -half, left: -half * width / height, right: half * width / height });
      camera.updateProjectionMatrix();
      camera.updateMatrixWorld();
      lamp.position.copy(camera.position);
      renderer.render(scene, camera);
      for (const { node, at } of labels) {
        const p = at.clone().project(camera);
        node.style.left = `${(p.x + 1) / 2 * width}px`;
        node.style.top = `${(1 - p.y) / 2 * height}px`;
      }
      for (const [side, way] of edges()) byId(`lp-edge-${side}`).textContent = letter(way);
      const bar = [100, 50, 20, 10, 5].find((mm) => mm / (2 * half) * height < width * 0.3) || 5;
      byId("lp-bar").style.width = `${bar / (2 * half) * height}px`;
      byId("lp-bar-mm").textContent = `${bar} mm`;
    };
    const axis = (n) => new THREE.Vector3().setFromMatrixColumn(camera.matrixWorld, n);
    const edges = () => [["right", axis(0)], ["left", axis(0).negate()], ["top", axis(1)], ["bottom", axis(1).negate()]];
    const letter = (way) => {
      const size = [way.x, way.y, way.z].map(Math.abs), n = size.indexOf(Math.max(...size));
      return ["LR", "PA", "SI"][n][way.getComponent(n) > 0 ? 0 : 1];
    };
    const look = (to, up) => {
      camera.position.copy(focus).addScaledVector(new THREE.Vector3(...to), 4 * reach + 500);
      camera.up.set(...up);
      camera.lookAt(focus);
      draw();
    };
    const turn = (right, down) => {
      const spin = new THREE.Quaternion().setFromAxisAngle(axis(1), -right)
        .multiply(new THREE.Quaternion().setFromAxisAngle(axis(0), -down));
      camera.position.sub(focus).applyQuaternion(spin).add(focus);
      camera.up.applyQuaternion(spin);
      camera.lookAt(focus);
      draw();
    };
    const zoom = (factor) => { half = Math.min(Math.max(half * factor, reach / 20), 3 * reach); draw(); };
    const reset = () => { half = reach * 0.78; look(...table.views.anterior); };

    for (const part of data.parts) {
      const mesh = await surface(part, data);
      scene.add(mesh);
      toggles.append(checkbox(part.title, part.rgb, part.shown, (on) => { mesh.visible = on; draw(); }));
    }
    const lines = new THREE.Group();
    for (const lesion of table.lesions) {
      lesion.lines.forEach((entry) => lines.add(line(entry)));
      const node = document.createElement("span");
      node.textContent = lesion.lines.length ? `${lesion.id}: ${lesion.lines[0].words}` : `${lesion.id}`;
      stage.append(node);
      labels.push({ node, at: new THREE.Vector3(...lesion.centre) });
    }
    scene.add(lines);
    if (table.lesions.length) {
      toggles.append(checkbox("Lines that distances were measured along", table.witness_rgb, true, (on) => {
        lines.visible = on;
        labels.forEach(({ node }) => { node.hidden = !on; });
        draw();
      }));
    }
    for (const [name, [to, up]] of Object.entries(table.views)) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = name;
      button.addEventListener("click", () => look(to, up));
      byId("lp-views").append(button);
    }
    const keys = {
      ArrowLeft: () => turn(-0.15, 0), ArrowRight: () => turn(0.15, 0), ArrowUp: () => turn(0, -0.15),
      ArrowDown: () => turn(0, 0.15), "+": () => zoom(0.87), "=": () => zoom(0.87), "-": () => zoom(1.15), Home: reset,
    };
    canvas.addEventListener("keydown", (event) => {
      if (keys[event.key]) { keys[event.key](); event.preventDefault(); }
    });
    canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) turn(event.movementX / 140, event.movementY / 140);
    });
    // The page scrolls over the canvas until somebody has chosen it.
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement === canvas) { zoom(event.deltaY > 0 ? 1.1 : 0.9); event.preventDefault(); }
    }, { passive: false });
    new ResizeObserver(draw).observe(stage);
    reset();
  }

  /* --- slices --- */
  const PLANES = [
    { name: "axial", across: 2, right: 0, down: 1, flip: false, letters: ["R", "L", "A", "P"] },
    { name: "coronal", across: 1, right: 0, down: 2, flip: true, letters: ["R", "L", "S", "I"] },
    { name: "sagittal", across: 0, right: 1, down: 2, flip: true, letters: ["A", "P", "S", "I"] },
  ];

  async function startSlices() {
    const stack = json("lp-stack"), shape = stack.shape, spacing = stack.spacing_mm;
    const [grey, bits, reach] = await Promise.all(["grey", "bits", "reach"].map((key) => unpacked(stack[key], Uint8Array)));
    const strides = [1, shape[0], shape[0] * shape[1]];
    const index = (lps) => stack.to_index.map((row) => row[0] * lps[0] + row[1] * lps[1] + row[2] * lps[2] + row[3]);
    const world = (at) => stack.affine_lps.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
    const lines = table.lesions.flatMap((lesion) => lesion.lines.map((entry) => entry.ends.map(index)));
    let at = shape.map((n) => Math.floor(n / 2)), ring = table.start_mm;

    const draw = () => { PLANES.forEach(drawPlane); tell(); };
    const tell = () => {
      byId("lp-at").textContent = `Cross at (${world(at).map((v) => v.toFixed(0)).join(", ")}) mm LPS`;
    };

    function drawPlane(plane) {
      const canvas = byId(`lp-${plane.name}`), { across, right, down, flip } = plane;
      const columns = shape[right], rows = shape[down], start = at[across] * strides[across];
      const zoom = Math.min(520 / (columns * spacing[right]), 520 / (rows * spacing[down]));
      const dx = zoom * spacing[right], dy = zoom * spacing[down];
      canvas.width = Math.round(columns * dx);
      canvas.height = Math.round(rows * dy);
      const image = new ImageData(columns, rows), pen = canvas.getContext("2d");
      const voxel = (x, y) => start + x * strides[right] + y * strides[down];
      const line = (y) => flip ? rows - 1 - y : y;
      for (let y = 0, n = 0; y < rows; y++) for (let x = 0; x < columns; x++, n += 4) {
        const value = grey[voxel(x, line(y))];
        image.data[n] = image.data[n + 1] = image.data[n + 2] = value;
        image.data[n + 3] = 255;
      }
      const small = document.createElement("canvas");
      small.width = columns;
      small.height = rows;
      small.getContext("2d").putImageData(image, 0, 0);
      pen.imageSmoothingQuality = "high";
      pen.drawImage(small, 0, 0, canvas.width, canvas.height);

      // Along the voxels' faces: an outline that is rounder than the mask would promise more than there is.
      const outline = (inside, colour, width) => {
        pen.beginPath();
        for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
          if (!inside(voxel(x, line(y)))) continue;
          const open = (i, j) => i < 0 || j < 0 || i >= columns || j >= rows || !inside(voxel(i, line(j)));
          const [l, r, t, b] = [x * dx, (x + 1) * dx, y * dy, (y + 1) * dy];
          if (open(x - 1, y)) { pen.moveTo(l, t); pen.lineTo(l, b); }
          if (open(x + 1, y)) { pen.moveTo(r, t); pen.lineTo(r, b); }
          if (open(x, y - 1)) { pen.moveTo(l, t); pen.lineTo(r, t); }
          if (open(x, y + 1)) { pen.moveTo(l, b); pen.lineTo(r, b); }
        }
        pen.strokeStyle = colour;
        pen.lineWidth = width;
        pen.stroke();
      };
      const steps = ring / stack.reach_step_mm;
      if (byId("lp-outlines").checked) {
        outline((v) => reach[v] <= steps, css(stack.ring_rgb), 1.6);
        for (const entry of stack.outlines) outline((v) => bits[v] >> entry.bit & 1, css(entry.rgb), 1.6);
      }
      const place = (point) => [(point[right] + 0.5) * dx, ((flip ? rows - 1 - point[down] : point[down]) + 0.5) * dy];
      pen.strokeStyle = css(table.witness_rgb);
      pen.lineWidth = 2.5;
      for (const ends of lines) {
        const [low, high] = [Math.min(ends[0][across], ends[1][across]), Math.max(ends[0][across], ends[1][across])];
        if (at[across] < low - 1 || at[across] > high + 1) continue;
        pen.beginPath();
        pen.moveTo(...place(ends[0]));
        pen.lineTo(...place(ends[1]));
        pen.stroke();
      }
      const [cx, cy] = place(at);
      pen.strokeStyle = "rgba(255,255,255,.55)";
      pen.lineWidth = 1;
      pen.beginPath();
      for (const [x0, y0, x1, y1] of [[0, cy, cx - 12, cy], [cx + 12, cy, canvas.width, cy], [cx, 0, cx, cy - 12], [cx, cy + 12, cx, canvas.height]]) {
        pen.moveTo(x0, y0);
        pen.lineTo(x1, y1);
      }
      pen.stroke();
      pen.fillStyle = "#fff";
      pen.font = "600 20px sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      const [left, rightSide, top, bottom] = plane.letters;
      pen.strokeStyle = "#18202c";
      pen.lineWidth = 4;
      pen.lineJoin = "round";
      const write = (words, x, y) => { pen.strokeText(words, x, y); pen.fillText(words, x, y); };
      write(left, 14, canvas.height / 2);
      write(rightSide, canvas.width - 14, canvas.height / 2);
      write(top, canvas.width / 2, 14);
      write(bottom, canvas.width / 2, canvas.height - 14);
      pen.fillRect(12, canvas.height - 14, 50 * zoom, 3);
      pen.textAlign = "left";
      pen.font = "15px sans-serif";
      write("50 mm", 12, canvas.height - 26);
      const slider = byId(`lp-${plane.name}-at`);
      slider.value = at[across];
      slider.setAttribute("aria-valuetext", `slice ${at[across] + 1} of ${shape[across]}`);
    }

    const go = (point) => {
      at = point.map((v, n) => Math.min(Math.max(Math.round(v), 0), shape[n] - 1));
      draw();
    };
    for (const plane of PLANES) {
      const canvas = byId(`lp-${plane.name}`), slider = byId(`lp-${plane.name}-at`);
      slider.max = shape[plane.across] - 1;
      slider.addEventListener("input", () => { at[plane.across] = Number(slider.value); draw(); });
      canvas.addEventListener("click", (event) => {
        const box = canvas.getBoundingClientRect(), next = [...at];
        const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
        next[plane.right] = Math.floor(x * shape[plane.right]);
        next[plane.down] = Math.floor((plane.flip ? 1 - y : y) * shape[plane.down]);
        go(next);
      });
    }
    for (const lesion of table.lesions) {
      // To the lesion's end of the shortest line, where both the lesion and the line are seen.
      const button = document.createElement("button"), entry = lesion.lines[lesion.lines.length - 1];
      const place = entry ? entry.ends[0] : lesion.centre;
      button.type = "button";
      button.textContent = `Lesion ${lesion.id}`;
      button.addEventListener("click", () => go(index(place)));
      byId("lp-lesions").append(button);
    }
    byId("lp-outlines").addEventListener("change", draw);
    listeners.push((margin) => { ring = margin; draw(); });
    if (table.lesions.length) byId("lp-lesions").firstElementChild.click(); else draw();
  }

  /* --- what loads when --- */
  function whenWanted(id, start) {
    const part = byId(id);
    if (!part) return;
    let begun = false;
    const begin = async () => {
      if (begun) return;
      begun = true;
      try {
        await start();
        part.dataset.state = "ready";
      } catch (error) {
        part.dataset.state = "failed";
        part.querySelector(".lp-failed").textContent = `This browser cannot show it (${error.message}). The pictures above show the same.`;
      }
    };
    part.querySelector(".lp-load").addEventListener("click", begin);
    new IntersectionObserver((seen, observer) => {
      if (seen.some((entry) => entry.isIntersecting)) { observer.disconnect(); begin(); }
    }).observe(part);
  }

  document.documentElement.classList.add("lp-live");
  marginSlider();
  whenWanted("lp-3d", start3d);
  whenWanted("lp-slices", startSlices);
})();
