namespace Qbb.Bases.Tests;

public class SignPackingTests
{
    [Fact]
    public void Every_length_and_basis_comes_back()
    {
        const int seed = 11;
        TestContext.Current.TestOutputHelper!.WriteLine($"seed {seed}");
        var random = new Random(seed);
        for (var length = 1; length <= 131; length++)
        {
            for (var basis = 0; basis < 8; basis++)
            {
                var codes = new byte[length];
                random.NextBytes(codes);
                var words = Enumerable.Repeat(uint.MaxValue, SignPacking.WordsPerRow(length)).ToArray();
                SignPacking.PackBit(codes, basis, words);

                for (var column = 0; column < 32 * words.Length; column++)
                {
                    var expected = column < length && (codes[column] >> basis & 1) == 1;
                    SignPacking.IsPositive(words, column).ShouldBe(expected, $"length {length}, basis {basis}, column {column}");
                }
                var back = codes.Select(code => (byte)~code).ToArray();
                SignPacking.UnpackBit(words, basis, back);
                for (var column = 0; column < length; column++)
                    back[column].ShouldBe((byte)(~codes[column] & ~(1 << basis) | codes[column] & 1 << basis));
            }
        }
    }

    [Fact]
    public void Bit_j_of_word_k_is_input_32k_plus_j()
    {
        var codes = new byte[70];
        codes[0] = codes[33] = codes[69] = 1;
        var words = new uint[3];
        SignPacking.PackBit(codes, 0, words);
        words.ShouldBe([1u, 2u, 1u << 5]);
    }

    [Fact]
    public void Differences_in_the_padding_do_not_count()
    {
        SignPacking.CountDifferences([0b1010, 0b001], [0b1111, 0xFFFF_FFF0], 35).ShouldBe(3);
        SignPacking.CountDifferences([0], [uint.MaxValue], 32).ShouldBe(32);
    }

    [Fact]
    public void A_wrong_number_of_words_is_refused()
    {
        Should.Throw<ArgumentException>(() => SignPacking.PackBit(new byte[33], 0, new uint[1]));
        Should.Throw<ArgumentException>(() => SignPacking.UnpackBit(new uint[2], 0, new byte[32]));
        Should.Throw<ArgumentOutOfRangeException>(() => SignPacking.PackBit(new byte[32], 8, new uint[1]));
    }
}
