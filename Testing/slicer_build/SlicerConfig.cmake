# Stand-in for the configuration of a Slicer build tree, so that this extension's CMake files run in tests without one.
# It has the macros that they call, with Slicer's names, arguments and checks (CMake/SlicerMacroBuildScriptedModule.cmake,
# CMake/SlicerMacroPythonTesting.cmake): files are copied into the build tree, by Slicer when it builds and here already
# when CMake configures, and the build tree's folder is installed. Left out: byte code, translations, the generic tests,
# package metadata. Tests run on the stand-ins of slicer_standin.py, by the interpreter named in STAND_IN_PYTHON.
set(Slicer_USE_FILE ${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake)
set(Slicer_EXTENSION_GENERATE_CONFIG ${CMAKE_CURRENT_LIST_DIR}/SlicerExtension.cmake)
set(Slicer_EXTENSION_CPACK ${Slicer_EXTENSION_GENERATE_CONFIG})
set(Slicer_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer-5.12/qt-scripted-modules)
set(STAND_IN_SELF_TEST ${CMAKE_CURRENT_LIST_DIR}/../helpers/self_test.py)
