using System.Text;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class SafetensorsHeaderTests : IDisposable
{
    private const string Good = """{"dtype":"F32","shape":[2],"data_offsets":[0,8]}""";

    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Theory]
    [InlineData("[4]", "begin with '{'")]
    [InlineData(" {}", "begin with '{'")]
    [InlineData("{", "JSON")]
    [InlineData("{}{}", "JSON")]
    [InlineData("{}\0", "JSON")]
    [InlineData("{\"w\":" + Good + ",}", "JSON")]
    [InlineData("{/*no*/}", "JSON")]
    [InlineData("{\"\\ud800\":" + Good + "}", "JSON")]
    [InlineData("{\"w\":" + Good + ",\"w\":" + Good + "}", "tensor w is listed twice")]
    [InlineData("{\"w\":" + Good + ",\"\\u0077\":" + Good + "}", "tensor w is listed twice")]
    [InlineData("{\"w\":[]}", "not a JSON object")]
    [InlineData("{\"w\":{}}", "no dtype")]
    [InlineData("""{"w":{"dtype":"F32","data_offsets":[0,8]}}""", "no shape")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2]}}""", "no data_offsets")]
    [InlineData("""{"w":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}}""", "two dtypes")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}""", "two shapes")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}}""", "data_offsets twice")]
    [InlineData("""{"w":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}""", "unknown dtype F33; known are BF16")]
    [InlineData("""{"w":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}""", "unknown dtype")]
    [InlineData("""{"w":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""", "shape that is not an array")]
    [InlineData("""{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", "not an integer")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}""", "not an integer")]
    [InlineData("""{"w":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}""", "not an integer")]
    [InlineData("""{"w":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}""", "not an integer")]
    [InlineData("""{"w":{"dtype":"F32","shape":[18446744073709551618],"data_offsets":[0,8]}}""", "not an integer")]
    [InlineData("""{"w":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}}""", "overflows")]
    [InlineData("""{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}""", "overflows")]
    [InlineData("""{"w":{"dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}""", "overflows")]
    [InlineData("""{"w":{"dtype":"F4","shape":[3],"data_offsets":[0,8]}}""", "ends inside a byte")]
    [InlineData("""{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", "needs 12 bytes, its data_offsets give 8")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", "1 data_offsets, not 2")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", "out of range")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}""", "out of range")]
    [InlineData("""{"w":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,9223372036854775807]}}""", "out of range")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", "4 bytes at its end belong to no tensor")]
    [InlineData("""{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}""", "leaves a hole")]
    [InlineData("""{"v":{"dtype":"U8","shape":[6],"data_offsets":[0,6]},"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}""", "tensor w begins at byte 4 of the data where 6 was due: it overlaps")]
    [InlineData("""{"v":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"w":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}}""", "overlaps")]
    [InlineData("""{"__metadata__":{"a":1}}""", "a is not a string")]
    [InlineData("""{"__metadata__":{"a":"1","a":"2"}}""", "holds a twice")]
    [InlineData("""{"__metadata__":{},"__metadata__":{}}""", "__metadata__ twice")]
    [InlineData("""{"__metadata__":[]}""", "not a JSON object")]
    public void A_lying_header_is_refused_with_its_reason(string header, string reason)
    {
        var path = folder.Write("x.safetensors", SafetensorsBytes.Of(header, dataLength: 8));
        var message = Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(path)).Message;
        message.ShouldStartWith(path);
        message.ShouldContain(reason);
    }

    [Theory]
    [InlineData(0, "empty")]
    [InlineData(7, "too few")]
    [InlineData(8, "only 0 follow")]
    [InlineData(30, "cut off")]
    [InlineData(65, "out of range, the file is cut off")]
    public void A_truncated_file_is_refused(int length, string reason)
    {
        var whole = SafetensorsBytes.Of("{\"w\":" + Good + "}", dataLength: 8);
        var path = folder.Write("x.safetensors", whole.AsSpan(0, length));
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(path)).Message.ShouldContain(reason);
    }

    [Theory]
    [InlineData(100_000_001, "more than the 100000000 allowed")]
    [InlineData(-1, "more than the 100000000 allowed")]
    [InlineData(99_999_999, "only 10 follow")]
    public void A_header_length_is_checked_before_it_is_believed(long claimed, string reason)
    {
        var path = folder.Write("x.safetensors", SafetensorsBytes.Of("{}", dataLength: 8, claimed));
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(path)).Message.ShouldContain(reason);
    }

    [Fact]
    public void A_header_of_100_MB_costs_bounded_memory()
    {
        // Of the shortest entries two million would fit; reading stops where no real file would be any more.
        var path = folder.File("x.safetensors");
        using (var stream = File.Create(path))
        {
            stream.Write(BitConverter.GetBytes(100_000_000L));
            stream.WriteByte((byte)'{');
            for (var i = 0; i < 300_000; i++)
                stream.Write(Encoding.ASCII.GetBytes(SafetensorsBytes.Tensor($"{i}", "U8", "[0]", "[0,0]") + ","));
            stream.SetLength(8 + 100_000_000);
        }
        var before = GC.GetAllocatedBytesForCurrentThread();
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(path)).Message.ShouldContain("tensors");
        (GC.GetAllocatedBytesForCurrentThread() - before).ShouldBeLessThan(256L << 20);
    }

    [Fact]
    public void Invalid_UTF_8_is_refused()
    {
        var bytes = SafetensorsBytes.Of("{\"w\":" + Good + "}", dataLength: 8);
        bytes[10] = 0xff;
        Should.Throw<InvalidInputException>(() =>
            SafetensorsFile.Open(folder.Write("x.safetensors", bytes))).Message.ShouldContain("UTF-8");
    }

    [Fact]
    public void What_is_no_regular_file_is_refused()
    {
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(folder.Path)).Message.ShouldContain("is a folder");
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open(folder.File("none"))).Message.ShouldContain("no such file");
        Should.Throw<InvalidInputException>(() => SafetensorsFile.Open("/dev/zero")).Message.ShouldContain("empty");
    }
}
