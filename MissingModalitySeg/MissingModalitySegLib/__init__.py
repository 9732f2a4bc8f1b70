"""Parts of the segmentation module that are no panel."""
