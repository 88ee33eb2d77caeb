"""Networks: the Stable Diffusion bundle, its tiny packaged twin, adapters, the translator, features."""
