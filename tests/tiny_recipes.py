"""Recipes of nets that train in a moment, as text: for fixtures and for the guide's commands."""

TINY_RECIPE = """
description = "a net that trains in a moment"

[model]
sample_rate = 4000
singer_channels = 3

[model.encoder]
blocks = 1
layers = 2
channels = 4
latent_channels = 4
hop_samples = 40

[model.decoder]
blocks = 1
layers = 3
residual_channels = 4
skip_channels = 6

[model.classifier]
channels = 4

[segments]
seconds = 0.04
batch_size = 4
shards = 2

[optimiser.learning_rate]
initial = 5e-3

[loop]
max_steps = 60
log_every_steps = 5
validate_every_steps = 20
sample_every_steps = 1000
save_every_steps = 10
keep_states = 2
validation_segments = 1
sample_seconds = 0.02
sample_pairs = 1
"""


TINY_SWIFT = """
description = "the same for a model that knows the melody"

[model]
kind = "source-filter"
sample_rate = 8000
hop_samples = 80
singer_channels = 3

[model.encoder]
channels = 6
layers = 1
kernel_size = 3
latent_channels = 4

[model.decoder]
n_bands = 24
channels = 8
layers = 2

[model.classifier]
channels = 4

[model.critic]
channels = 6

[segments]
seconds = 0.24
batch_size = 4
shards = 2
moved_copies = 1

[optimiser]
clip_norm = 5.0

[losses]
adversarial = 0.1
cycle = 0.1

[back_translation]
start_step = 5
refresh_every_steps = 2
pool_batches = 1

[loop]
max_steps = 60
log_every_steps = 5
validate_every_steps = 20
sample_every_steps = 1000
save_every_steps = 10
keep_states = 2
validation_segments = 1
sample_seconds = 0.2
sample_pairs = 1
"""


TINY_ALONE = """
[model]
kind = "wavenet-alone"
sample_rate = 8000
hop_samples = 80

[model.decoder]
blocks = 1
layers = 3
residual_channels = 4
skip_channels = 6

[segments]
seconds = 0.04
batch_size = 4
shards = 2
is_augmented = false

[optimiser.learning_rate]
initial = 1e-2

[loop]
max_steps = 40
log_every_steps = 5
validate_every_steps = 10
sample_every_steps = 20
save_every_steps = 10
validation_segments = 1
sample_seconds = 0.02
sample_pairs = 1
"""
