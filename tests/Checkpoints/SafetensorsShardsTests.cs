using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class SafetensorsShardsTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void Shards_are_read_as_one()
    {
        WriteShard("model-00001-of-00002.safetensors", "a", 1);
        WriteShard("model-00002-of-00002.safetensors", "b", 2);
        Index("""{"metadata":{"total_size":8},"weight_map":{"b":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors"}}""");
        using var source = SafetensorsFolder.Open(folder.Path);
        source.Entries.Select(entry => entry.Name).ShouldBe(["a", "b"]);
        source.ReadAll("a").ShouldBe([1]);
        source.ReadAll("b").ShouldBe([2]);
        source.Contains("c").ShouldBeFalse();
        Should.Throw<InvalidInputException>(() => source.Describe("c")).Message.ShouldContain("no tensor c");
    }

    [Fact]
    public void Tensors_that_the_index_gives_to_another_shard_or_none_are_not_seen()
    {
        WriteShard("1.safetensors", "a", 1);
        WriteShard("2.safetensors", "a", 2);
        WriteShard("3.safetensors", "c", 3);
        Index("""{"weight_map":{"a":"2.safetensors"}}""");
        using var source = SafetensorsFolder.Open(folder.Path);
        source.Entries.Count.ShouldBe(1);
        source.ReadAll("a").ShouldBe([2]);
    }

    [Fact]
    public void A_missing_shard_is_named()
    {
        WriteShard("1.safetensors", "a", 1);
        Index("""{"weight_map":{"a":"1.safetensors","b":"2.safetensors"}}""");
        var message = Should.Throw<InvalidInputException>(() => SafetensorsFolder.Open(folder.Path)).Message;
        message.ShouldContain("1 of 2 shards are missing: 2.safetensors");
    }

    [Fact]
    public void A_listed_tensor_that_is_absent_matters_when_it_is_asked_for()
    {
        WriteShard("1.safetensors", "a", 1);
        Index("""{"weight_map":{"a":"1.safetensors","b":"1.safetensors"}}""");
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var source = SafetensorsFolder.Open(folder.Path);
        source.Entries.Select(entry => entry.Name).ShouldBe(["a"]);
        source.Contains("b").ShouldBeFalse();
        Should.Throw<InvalidInputException>(() => source.Describe("b")).Message.ShouldContain("tensor b is listed in 1.safetensors but is not there");
        warnings.ShouldHaveSingleItem().ShouldContain("1 listed tensors are in no shard: b");
    }

    [Fact]
    public void A_tensor_that_the_index_omits_or_gives_to_another_shard_is_found()
    {
        WriteShard("model-00001-of-00003.safetensors", "a", 1);
        WriteShard("model-00002-of-00003.safetensors", "b", 2);
        WriteShard("model-00003-of-00003.safetensors", "c", 3);
        WriteShard("other-00003-of-00003.safetensors", "d", 4);
        Index("""{"weight_map":{"a":"model-00001-of-00003.safetensors","b":"model-00001-of-00003.safetensors"}}""");
        var warnings = new List<string>();
        using var heard = ModelWarnings.Listen(warnings.Add);
        using var source = SafetensorsShards.Open(folder.File(SafetensorsFolder.IndexName));
        source.Entries.Select(entry => entry.Name).ShouldBe(["a", "b", "c"]);
        source.ReadAll("b").ShouldBe([2]);
        source.ReadAll("c").ShouldBe([3]);
        source.Files.Select(file => Path.GetFileName(file)).ShouldBe([SafetensorsFolder.IndexName, .. Enumerable.Range(1, 3).Select(k => $"model-0000{k}-of-00003.safetensors")]);
        warnings.ShouldHaveSingleItem().ShouldContain("2 tensors are not in the shard that the index names, or not in the index: b, c");
    }

    [Fact]
    public void A_whole_file_is_read_in_place_of_a_stale_index()
    {
        WriteShard(SafetensorsFolder.SingleName, "a", 1);
        Index("""{"weight_map":{"a":"1.safetensors"}}""");
        using var source = SafetensorsFolder.Open(folder.Path);
        source.ReadAll("a").ShouldBe([1]);
    }

    [Theory]
    [InlineData("../x.safetensors")]
    [InlineData("/etc/x.safetensors")]
    [InlineData("sub/x.safetensors")]
    [InlineData("..\\\\x.safetensors")]
    [InlineData("C:x.safetensors")]
    [InlineData("x.bin")]
    [InlineData("")]
    [InlineData("x\\u0000.safetensors")]
    public void Shard_names_that_leave_the_folder_are_refused(string name)
    {
        Index("{\"weight_map\":{\"a\":\"" + name + "\"}}");
        Should.Throw<InvalidInputException>(() => SafetensorsFolder.Open(folder.Path)).Message.ShouldContain("refused");
    }

    [Theory]
    [InlineData("[]", "not a JSON object")]
    [InlineData("{}", "no weight_map")]
    [InlineData("{", "not valid JSON")]
    [InlineData("""{"weight_map":[]}""", "not a JSON object")]
    [InlineData("""{"weight_map":{"a":1}}""", "not a file name")]
    [InlineData("""{"weight_map":{},"weight_map":{}}""", "twice")]
    [InlineData("""{"weight_map":{"a":"1.safetensors","a":"2.safetensors"}}""", "lists tensor a twice")]
    public void A_damaged_index_is_refused_with_its_reason(string index, string reason)
    {
        Index(index);
        Should.Throw<InvalidInputException>(() => SafetensorsFolder.Open(folder.Path)).Message.ShouldContain(reason);
    }

    [Theory]
    [InlineData("pytorch_model.bin")]
    [InlineData("model.pt")]
    [InlineData("model.pth")]
    [InlineData("model.ckpt")]
    public void Pickles_are_refused_with_the_reason_and_the_remedy(string name)
    {
        folder.Write(name, [0x80, 2, 1, 1]);
        foreach (var open in new Action[]
        {
            () => SafetensorsFolder.Open(folder.Path),
            () => ModelSource.Open(folder.Path),
            () => ModelSource.Open(folder.File(name)),
            () => CheckpointInspector.Inspect(folder.File(name)),
        })
        {
            var message = Should.Throw<InvalidInputException>(open).Message;
            message.ShouldContain("pickle");
            message.ShouldContain("convert the model to safetensors");
            message.ShouldContain(name);
        }
    }

    private void Index(string json) => folder.Write(SafetensorsFolder.IndexName, json);

    private void WriteShard(string name, string tensor, float value)
    {
        using var writer = SafetensorsWriter.Create(folder.File(name), [new(tensor, "F32", [1])]);
        writer.Write(tensor, [value]);
        writer.Commit();
    }
}
