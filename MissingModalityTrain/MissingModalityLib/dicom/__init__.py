"""DICOM as it comes from a PACS or a CD: which series lie in a folder, what they are, and which to use."""
