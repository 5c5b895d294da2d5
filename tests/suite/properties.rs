//! Properties over generated estates and pipelines.
