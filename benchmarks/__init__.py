"""Each benchmark compares this project with the usual way and with the limit of the machine, in one run."""
