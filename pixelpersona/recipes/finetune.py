"""Fine-tuning a LoRA on pairs of photo and pixel art, from the base to the saved adapter."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from pixelpersona.config.train import TrainConfig
from pixelpersona.data.latents import encode_pairs
from pixelpersona.data.loader import LatentBatches
from pixelpersona.data.metadata import TRAIN, VAL
from pixelpersona.inference.sampler import Sampler
from pixelpersona.inference.stylizer import Stylizer
from pixelpersona.models.adapter import TEXT_ATTENTION, add_lora, save_lora, without_adapters
from pixelpersona.models.codec import Codec, tokenize
from pixelpersona.recipes.loop_settings import count_steps
from pixelpersona.recipes.model import load_model, picture_framing
from pixelpersona.recipes.training_run import (
    make_state,
    resume_and_record,
    start_run,
    train_and_finish,
)
from pixelpersona.reporting.card import card_info, write_card
from pixelpersona.runs.records import public_config
from pixelpersona.training.objectives.diffusion import DiffusionObjective
from pixelpersona.training.samples import Samples
from pixelpersona.training.validation import fixed_noise_loss


def finetune(config: TrainConfig, overrides: Sequence[str], command: str) -> bool:
    """Train a LoRA and write it to <paths.runs>/<name>/, with its record, checkpoints and model card.

    A finished run of the same settings is left alone, an unfinished one continues from its newest checkpoint.
    Returns whether there was anything to train.
    overrides: the command line's settings, as typed; command: the whole line, for the model card.
    Raises ValueError for settings that are not accepted.
    """
    model, lora, loop = config.model, config.lora, config.loop
    with start_run(config, overrides) as run:
        if run is None:
            return False
        with run.accelerator.main_process_first():  # rank 0 fills the caches, the others then read them
            # The base, and the latents and text states of the pairs, encoded once.
            base = load_model(model, prediction_type="epsilon")
            codec, cache = Codec(base), config.paths.cache
            with_photos = config.loss.residual_shift_strength > 0.0
            train_set = encode_pairs(
                run.pair_set, TRAIN, codec, cache, mirrored=config.dataset.mirror, photos=with_photos
            )
            val_set = encode_pairs(run.pair_set, VAL, codec, cache)

            # The adapter, on the UNet and, if asked for, on the text encoder.
            add = partial(add_lora, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, seed=loop.seed)
            add(base.unet, targets=lora.targets)
            text_encoder = base.text_encoder if lora.text_encoder else None
            if text_encoder is not None:
                add(text_encoder, targets=TEXT_ATTENTION)
                # The states of a text encoder in training change every step, so batches carry token ids.
                train_set, val_set = (
                    replace(s, text=tokenize(base, s.captions), empty_text=tokenize(base, [""])[0])
                    for s in (train_set, val_set)
                )

            # Loss and batches.
            loss_options = asdict(config.loss)  # the keys of `loss` are the objective's, except for one
            caption_dropout = loss_options.pop("caption_dropout")
            objective = DiffusionObjective(
                base.unet, base.noise_schedule, text_encoder=text_encoder, **loss_options
            )
            batches = LatentBatches(train_set, loop.batch_size, loop.seed, caption_dropout, loop.latent_crop)

        # What is drawn and saved during training.
        def untouched() -> AbstractContextManager[None]:
            return without_adapters(base.unet, *([] if text_encoder is None else [text_encoder]))

        def save(folder: Path) -> Path:
            return save_lora(base.unet, folder, text_encoder=text_encoder)

        samples = None
        if loop.num_samples and run.is_main:
            stylizer = Stylizer(base, sampler=Sampler(**asdict(config.sampler)), prompt=model.prompt)
            samples = Samples(
                stylizer,
                untouched,
                run.pair_set,
                loop.num_samples,
                cell=base.cell,
                framing=picture_framing(config.dataset, model),
            )

        # Optimizer, schedule and EMA; a checkpoint's state where there is one; the run's record.
        with run.accelerator.main_process_first():
            num_steps = count_steps(loop, len(batches))
            identity: dict[str, object] = {
                "rank": lora.rank,
                "alpha": lora.alpha,
                "targets": sorted(lora.targets),
                "text_encoder": lora.text_encoder,
                "base": base.sha256,
                **({} if loop.latent_crop is None else {"latent_crop": loop.latent_crop}),
            }
            state = make_state(run, objective, num_steps, identity)
            tracker = resume_and_record(run, state, base.sha256)

        def write_model_card(folder: Path) -> None:
            plain = public_config(config) | {"model": asdict(model)}
            write_card(folder, card_info(plain, title=config.name, steps=num_steps, commands=[command]))

        train_and_finish(
            run,
            state,
            tracker,
            batches,
            num_steps=num_steps,
            validate=lambda: float(fixed_noise_loss(objective, val_set).mean()),
            samples=samples,
            save=save,
            untouched=untouched,
            describe=write_model_card,
        )
    return True
