/* The output's zero point, and its least and greatest byte. */
typedef struct {
    uint8_t zero, low, high;
} Limits;

static uint8_t clip(int32_t value, const Limits *limits)
{
    value += limits->zero;
    if (value < limits->low) {
        return limits->low;
    }
    return value > limits->high ? limits->high : (uint8_t)value;
}
