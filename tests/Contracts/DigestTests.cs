using System.Text.Json;

namespace Qbb.Contracts.Tests;

public class DigestTests
{
    // SHA-256 of "abc", FIPS 180-2 appendix B.1.
    private const string Abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    [Fact]
    public void A_digest_is_the_sha256_of_the_bytes() => Digest.Of("abc").Value.ShouldBe(Abc);

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    [InlineData("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a")]
    [InlineData("../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")]
    public void What_is_no_digest_is_refused(string? text) => Digest.TryParse(text, out _).ShouldBeFalse();

    [Fact]
    public void A_digest_is_a_string_in_json()
    {
        JsonSerializer.Serialize(Digest.Parse(Abc)).ShouldBe($"\"{Abc}\"");
        JsonSerializer.Deserialize<Digest?>("null").ShouldBeNull();
        JsonSerializer.Deserialize<Digest>($"\"{Abc}\"").ShouldBe(Digest.Of("abc"));
        Should.Throw<JsonException>(() => JsonSerializer.Deserialize<Digest>("\"abc\""));
    }
}
