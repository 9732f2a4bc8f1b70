# Stand-in for what exports and packs an extension: nothing to do for files that are only copied.
