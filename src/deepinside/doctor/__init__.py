"""What a user's pictures, machine and weights are like: each check returns findings, with a fix for what is wrong."""

from deepinside.doctor.data import check_data
from deepinside.doctor.finding import Finding
from deepinside.doctor.machine import check_machine
from deepinside.doctor.weights import check_names, check_weights

__all__ = ["Finding", "check_data", "check_machine", "check_names", "check_weights"]
