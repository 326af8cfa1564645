"""The commands of `tastestream`, one module each."""
