"""The geometry of protocol version 1: how a blob is cut."""

MIB = 1 << 20


def stripe_bytes(size):
    if size < MIB:
        return MIB
    rounded = 1 << ((size + 255) // 256 - 1).bit_length()
    return max(512 << 10, min(rounded, 8 * MIB))
