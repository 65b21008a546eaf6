"""The run file: what a run is asked to do, typed, validated and explained."""
