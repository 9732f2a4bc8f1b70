"""Slicer's module SampleData in small: sources in categories, and how scripts and its buttons fetch them.

As in Slicer 5.12 a source's ``customDownloader`` is called by its button alone; scripts get what lies at its
``uris``, and raise IndexError where that is nothing.
"""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Any

import slicer
import vtk


class SampleDataSource:
    """Where one sample lies, and what its nodes are called."""

    def __init__(
        self,
        sampleName: str | None = None,
        sampleDescription: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Any = None,
        thumbnailFileName: str | None = None,
        loadFileType: Any = None,
        loadFileProperties: Any = None,
    ) -> None:
        self.sampleName, self.sampleDescription = sampleName, sampleDescription or sampleName
        self.thumbnailFileName, self.customDownloader = thumbnailFileName, customDownloader
        count = len(uris)
        self.uris, self.fileNames = uris, fileNames
        self.nodeNames = nodeNames or [None] * count
        self.checksums, self.loadFiles = checksums or [None] * count, loadFiles or [None] * count
        self.loadFileTypes = [loadFileType] * count  # as in Slicer one text for all files will do
        self.loadFileProperties = loadFileProperties or {}
        if not len(fileNames) == len(self.nodeNames) == count:
            raise ValueError("All lists of a source must be of one length")

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    __hash__ = None

    def __str__(self) -> str:
        rows = zip(self.fileNames, self.uris, self.nodeNames, strict=True)
        return "\n".join([str(self.sampleName), *map(str, rows)])


class SampleDataLogic:
    """Fetches samples."""

    def downloadSamples(self, name: str) -> list[Any]:
        categories = slicer.modules.sampleDataSources.values()
        found = [source for sources in categories for source in sources if source.sampleName == name]
        return self.downloadFromSource(found[0]) if found else []

    def downloadFromSource(self, source: SampleDataSource) -> list[Any]:
        cache = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory())
        cache.mkdir(parents=True, exist_ok=True)
        nodes = []
        rows = zip(source.uris, source.fileNames, source.nodeNames, source.loadFileTypes, strict=True)
        for uri, file, node, kind in rows:
            if not (cache / file).exists():
                urllib.request.urlretrieve(uri, cache / file)  # noqa: S310 - of a file
            found = vtk.vtkCollection()
            properties = {"fileName": str(cache / file), "name": node}
            slicer.app.coreIOManager().loadNodes(kind, properties, found)
            nodes.append(found.GetItemAsObject(0))
        return nodes


def downloadSample(name: str) -> Any:
    return SampleDataLogic().downloadSamples(name)[0]


def downloadSamples(name: str) -> list[Any]:
    return SampleDataLogic().downloadSamples(name)
