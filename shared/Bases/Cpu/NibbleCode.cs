namespace Qbb.Bases.Cpu;

/// <summary>
/// The signs of four neighbouring columns as a code of four bits: bit 3 is the sign s of the fourth column (1 for +1), bits 0 to 2 say
/// at which of the first three the sign is not s. The sum ±x0 ±x1 ±x2 ±x3 is then odd in bit 3: code 8 + i gives minus what code i gives,
/// so a table of eight entries and a change of sign serve where registers have eight lanes, one of sixteen where they have sixteen.
/// </summary>
internal static class NibbleCode
{
    private const uint Lowest = 0x1111_1111;

    /// <summary>Codes of 32 signs at once. It is its own inverse.</summary>
    public static uint Turn(uint signs) => signs ^ (signs >> 3 & Lowest) * 7;

    /// <summary>True where a code stands for +x at a column, 0 to 3, of its four.</summary>
    public static bool IsPositive(int code, int column) => ((Turn((uint)code) >> column) & 1) != 0;
}
