/* Return the byte of an exact sum: one product of two float32 numbers, rounded. */
static uint8_t requantize(int32_t sum, float multiplier, const Limits *limits)
{
    /* volatile: the sum is rounded to float32 here, also where registers hold more bits. */
    volatile float factor;

    if (sum <= 0 && limits->low == limits->zero) {
        return limits->low; /* ReLU; multipliers are positive */
    }
    factor = (float)sum;
    return clip(nearest(factor * multiplier), limits);
}
