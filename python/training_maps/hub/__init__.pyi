from .measurement import measure_hub_run as measure_hub_run
