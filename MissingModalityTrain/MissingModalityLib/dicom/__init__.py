"""DICOM as it comes from a PACS or a CD: which series there are and what they are, results as DICOM SEG."""
