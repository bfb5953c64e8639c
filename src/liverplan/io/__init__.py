"""Files in and out: images, DICOM series, masks, output folders. RAS becomes LPS here and nowhere else."""
