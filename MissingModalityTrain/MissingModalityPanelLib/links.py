"""Where a module's help leads to."""

from slicer.i18n import tr as _

DOCUMENTS = "https://github.com/MissingModality/SlicerMissingModality/blob/main/Resources/Docs/"
MODEL_CARDS = "https://github.com/MissingModality/SlicerMissingModality/blob/main/Resources/Models/"
FORUM = "https://discourse.slicer.org"


def helpLinks(pages):
    """A paragraph of rich text with links.

    Args:
        pages: addresses by text to click on.
    """
    links = [f'<a href="{address}">{text}</a>' for text, address in pages.items()]
    return "<p>{text}</p>".format(text=_("Read more: {links}.").format(links=", ".join(links)))
