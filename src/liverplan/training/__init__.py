"""Training of the segmentation networks: synthetic and real samples, the loop, validation, export. Needs torch and MONAI."""
