"""Dialogue scripts → stereo audio, word alignments and manifests, as Moshi fine-tuning reads them."""
