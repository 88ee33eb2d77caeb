"""Variables of the environment that W&B reads, checked before a run starts."""

import os

# dryrun and run are older names of offline and online; shared is for several processes that write one run.
MODES = ("online", "offline", "disabled", "dryrun", "run", "shared")


def check_environment(mode: str, num_runs: int = 1) -> None:
    """Raise ValueError naming the variable that W&B does not accept or that does not fit the command.

    mode: that of the tracker; with "disabled" nothing is read. num_runs: number of W&B runs that the command
    starts.
    """
    if mode == "disabled":
        return
    named = os.environ.get("WANDB_MODE")
    if named is not None and named not in MODES:
        raise ValueError(f"WANDB_MODE={named}: accepted {', '.join(MODES[:3])}, or unset it")
    run_id = os.environ.get("WANDB_RUN_ID")
    if run_id and num_runs > 1:
        raise ValueError(
            f"WANDB_RUN_ID={run_id} is the id of one W&B run, but {num_runs} runs would be recorded; "
            "unset it, or start the runs one at a time"
        )
