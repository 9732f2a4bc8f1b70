"""The exceptions a user may meet. Each message names the file or node, what is wrong and what to do."""

from .printable import printable

_LISTED = "\n  "
"""Before each line of a list in a message, say of files that were found in a folder."""


class MissingModalityError(Exception):
    """Base of all errors that are the input's fault and not the program's.

    Panels show the message; the command line prints it without a traceback and exits with 2.

    Attributes:
        reported_elsewhere: another process at the same task prints it, so this one need not.
    """

    reported_elsewhere = False

    def __str__(self) -> str:
        """The message, whose only further lines are those of an indented list, whatever it quotes."""
        return _LISTED.join(map(printable, super().__str__().split(_LISTED)))


class ImageError(MissingModalityError):
    """A volume cannot be used: unreadable, empty, NaN, wrong dimensions, wrong grid."""


class LabelError(MissingModalityError):
    """A label map holds a value that its convention does not know, or has no known convention."""


class CaseError(MissingModalityError):
    """A folder of cases, or one case in it, cannot be used as asked."""


class StudentError(MissingModalityError):
    """A student file or checkpoint is absent, truncated, from another version or not a student at all."""


class OptionError(MissingModalityError):
    """An option has an unknown name or a value out of its range."""


class NetworksMissing(MissingModalityError):
    """The networks that find the brain in a head are not installed; the message says how to install them."""
