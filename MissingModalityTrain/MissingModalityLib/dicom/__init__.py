"""DICOM as it comes from a PACS or a CD: which series there are, what they are, which to use; and SEG."""
