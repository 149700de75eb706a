"""What a GPU must show: `make gpu`. docs/gpu.md says what each part does and what it leaves.

Parts stand alone, each a process of its own with a time limit, so that one that fails or hangs
costs no other its verdict. Every check has a negative control: a fault that is planted, and must
be found.
"""
