"""Arrangements of views that the panel asks the application for; without a main window there are none."""

import slicer

PLOTS_LAYOUT, PREVIEW_LAYOUT = 52401, 52402
"""Numbers that no other layout has: Slicer's own end at 100, and extensions pick theirs at random."""

LOSS_VIEW, DICE_VIEW = "MissingModalityLoss", "MissingModalityDice"
PREVIEW_VIEWS = ("X_A", "D_B", "T_B", "X_AB")


def showCharts(loss, dice):
    """Show two plot charts below each other."""
    views = "".join(_view("vtkMRMLPlotViewNode", name, name[-4:]) for name in (LOSS_VIEW, DICE_VIEW))
    if not _arrange(PLOTS_LAYOUT, f'<layout type="vertical">{views}</layout>'):
        return
    # a layout makes its views when it is first shown, so they are looked up only now
    for name, chart in ((LOSS_VIEW, loss), (DICE_VIEW, dice)):
        view = slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLPlotViewNode")
        view.SetPlotChartNodeID(chart.GetID())


def showVolumes(volumes, segmentation, position):
    """Show the volumes of a preview beside each other, the labels on the last.

    Args:
        volumes: one for each of ``PREVIEW_VIEWS``.
        segmentation: node of the labels.
        position: (r, a, s) that all views go to.
    """
    first, last = (
        "".join(_view("vtkMRMLSliceNode", name, name) for name in names)
        for names in (PREVIEW_VIEWS[:2], PREVIEW_VIEWS[2:])
    )
    rows = "".join(f'<item><layout type="horizontal">{row}</layout></item>' for row in (first, last))
    if not _arrange(PREVIEW_LAYOUT, f'<layout type="vertical">{rows}</layout>'):
        return
    for name, volume in zip(PREVIEW_VIEWS, volumes, strict=True):
        logic = slicer.app.layoutManager().sliceWidget(name).sliceLogic()
        logic.GetSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
        logic.FitSliceToAll()
        logic.GetSliceNode().JumpSliceByCentering(*position)
    # a display node that names a view is shown there alone; without, the labels would lie on all four
    segmentation.GetDisplayNode().AddViewNodeID(logic.GetSliceNode().GetID())


def showTable(table):
    """Show a table beside the views."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return
    layoutManager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpTableView)
    slicer.app.applicationLogic().GetSelectionNode().SetActiveTableID(table.GetID())
    slicer.app.applicationLogic().PropagateTableSelection()


def _arrange(number, description):
    """Whether the application has now taken up a layout of ours."""
    layoutManager = slicer.app.layoutManager()
    if layoutManager is None:
        return False
    node = layoutManager.layoutLogic().GetLayoutNode()
    if not node.IsLayoutDescription(number):
        node.AddLayoutDescription(number, description)
    layoutManager.setLayout(number)
    return True


def _view(kind, name, label):
    """A view of a layout."""
    orientation = '<property name="orientation" action="default">Axial</property>'
    return (
        f'<item><view class="{kind}" singletontag="{name}">'
        f"{orientation if kind == 'vtkMRMLSliceNode' else ''}"
        f'<property name="viewlabel" action="default">{label}</property></view></item>'
    )
