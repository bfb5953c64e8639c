"""Training of the segmentation networks: samples, the loop, validation, export. Needs torch and MONAI."""
