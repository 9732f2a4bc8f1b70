"""The parameter node of a panel, put together from the parameters of its sections."""

from slicer.parameterNodeWrapper import parameterNodeWrapper


def makeParameterNodeClass(name, sections):
    """A class of Slicer's ``parameterNodeWrapper`` with the parameters of all sections, and their methods.

    Slicer's own ``parameterPack`` is not used, for two of its properties in Slicer 5.12: it takes a pack for
    complete where its first member is in the scene, so that a scene saved before a section got one more
    parameter could not be read; and it stores members as ``pack.member``, so that no scene saved before there
    were packs would bring its choices back. Side by side, each parameter has its default, and its old name.

    Args:
        name: of the class.
        sections: subclasses of ``Section``; the attribute ``Parameters`` of each is a class whose annotated
            attributes are the section's parameters, with defaults as values.

    Raises:
        TypeError: two sections have a parameter of the same name.
    """
    bases = tuple(section.Parameters for section in sections if section.Parameters is not None)
    owners = {}
    for base in bases:
        for parameter in base.__annotations__:
            if parameter in owners:
                raise TypeError(f"{owners[parameter]} and {base.__name__} both have a parameter {parameter}.")
            owners[parameter] = base.__name__
    # the wrapper reads annotations of bases too; methods such as inputs() come along
    return parameterNodeWrapper(type(name, bases, {}))
