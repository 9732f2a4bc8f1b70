"""Synthetic patients for demos, tests and, when asked for, training: no scan of a person is in them."""

from .patient import PatientParameters, grow_patient, write_patient

__all__ = ["PatientParameters", "grow_patient", "write_patient"]
