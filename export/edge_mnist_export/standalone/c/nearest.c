/* Round to the nearest integer, ties to even. This reads the number's bits, so that no compiler
 * option matters. 2^20 and more become 2^20: every caller clips to a byte. */
static int32_t nearest(float number)
{
    uint32_t bits, fraction;
    int32_t exponent, integer;

    memcpy(&bits, &number, sizeof bits);
    exponent = (int32_t)(bits >> 23 & 255u) - 127;
    if (exponent < -1) {
        return 0;
    }
    if (exponent >= 20) {
        integer = (int32_t)1 << 20;
    } else {
        const int32_t shift = 23 - exponent;
        fraction = (bits & 0x7fffffu) | 0x800000u;
        fraction += ((uint32_t)1 << (shift - 1)) - 1u + (fraction >> shift & 1u);
        integer = (int32_t)(fraction >> shift);
    }
    return bits >> 31 ? -integer : integer;
}
