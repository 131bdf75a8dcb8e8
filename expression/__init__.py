import warnings

with warnings.catch_warnings():
    # Where the machine allows no second process; run_parallel says so, when one would be started
    warnings.filterwarnings("ignore", ".*joblib will operate in serial mode")
    import joblib as joblib
