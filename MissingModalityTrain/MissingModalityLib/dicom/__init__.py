"""DICOM: what files and series say, their pixels, and results written as DICOM objects."""
