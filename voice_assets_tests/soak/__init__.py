"""What must survive anything: kill loops and faults over every kind of store.

`make test` runs a few rounds of most, `python -m voice_assets_tests.soak` the full number.
"""
