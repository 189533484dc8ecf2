"""What was tried to make NeuCodec faster, with what was expected and what came of it.

Measured on two cores that other work shared: read the ratios, not the times.
"""

ATTEMPTS: list[dict[str, str]] = [
    {
        "attempt": "activations as sums of shifted copies, a cacheful at a time",
        "prediction": "0.03 s a second of audio, where the five passes take 0.25 s",
        "outcome": "about 0.10 s; kept, and later made equal to the bit by summing in the convolutions' order",
    },
    {
        "attempt": "the same expression through torch.compile, on a CPU",
        "prediction": "faster than by hand, since nothing is written between the operations",
        "outcome": "46 ms where the blocks take 23 ms, and 20 s to compile; left to GPUs",
    },
    {
        "attempt": "activations as products with banded matrices",
        "prediction": "570 operations a sample, 0.08 s at the speed of matrix products",
        "outcome": "not built: no faster than the blocks at best",
    },
    {
        "attempt": "linear layers with weights packed by oneDNN",
        "prediction": "a quarter faster (190 instead of 150 GFLOP/s)",
        "outcome": "as predicted for single layers; left out, since sums come in another order and codes could flip",
    },
    {
        "attempt": "features in batches on the device, in double precision",
        "prediction": "equal to the reference's but for the last place",
        "outcome": "so they were, and values before rounding moved by up to 9e-5; in numpy's order, by 0",
    },
    {
        "attempt": "one clip a core instead of all cores on one clip",
        "prediction": "a fifth faster: no waiting after each operation",
        "outcome": "a fifth to two fifths, more on a busy machine; kept",
    },
    {
        "attempt": "clips of one length in a batch, on a CPU",
        "prediction": "faster matrix products",
        "outcome": "the acoustic encoder took three times as long: its tensors no longer fit the cache; left to GPUs",
    },
    {
        "attempt": "activations in blocks of 2^18 floats instead of 2^17, views of the buffers laid out once",
        "prediction": "a tenth of the activations' time, which is a seventh of all",
        "outcome": "527 instead of 627 ms for 3.5 s of audio, from the larger blocks; views made no difference; kept",
    },
    {
        "attempt": "w2v-bert's pointwise convolutions as matrix products, without transposed copies",
        "prediction": "2 % of all",
        "outcome": "12.3 instead of 15.7 ms a layer, equal to the bit from 12 frames on; kept, from 16",
    },
    {
        "attempt": "the acoustic encoder's convolutions with weights reordered beforehand",
        "prediction": "2 % of all, since a clip reorders 240 MB",
        "outcome": "no faster but at 48 channels (21 instead of 29 ms), and another order of sums; left out",
    },
    {
        "attempt": "freed tensors kept by the allocator (glibc's thresholds), or huge pages for them",
        "prediction": "4 %: 250,000 page faults for 20 s of audio are as much system time",
        "outcome": "3 %, and 1 % with huge pages; not set here: it is the whole process's (MALLOC_TRIM_THRESHOLD_)",
    },
    {
        "attempt": "frames of several clips through the semantic encoder's products together, on a CPU",
        "prediction": "2 to 3 % of all: products of 250 rows run at 87 GFLOP/s a core, of 500 and more at 94",
        "outcome": "3 to 6 % of that encoder, 2 % of all, equal to the bit; left out: a second way to run it for that",
    },
    {
        "attempt": "weights laid out the other way for the linear layers",
        "prediction": "a tenth of them, if what costs is packing them",
        "outcome": "equal to the bit, and between a tenth faster and a third slower, by shape; left out",
    },
    {
        "attempt": "another sine, numpy's",
        "prediction": "3 % of all",
        "outcome": "4 %, and not equal to the bit; left out",
    },
]
