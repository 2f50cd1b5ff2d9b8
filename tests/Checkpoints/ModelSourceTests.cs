using System.Text.Json.Nodes;
using Qbb.Checkpoints;
using Qbb.Tests;

namespace Qbb.Checkpoints.Tests;

public sealed class ModelSourceTests : IDisposable
{
    private readonly TemporaryFolder folder = new();

    public void Dispose() => folder.Dispose();

    [Fact]
    public void A_Hugging_Face_folder_is_opened()
    {
        WriteModel(folder);
        folder.Write("tokenizer.json", "{}");
        using var model = ModelSource.Open(folder.Path);
        model.Format.ShouldBe(ModelSource.HuggingFace);
        model.Path.ShouldBe(folder.Path);
        ((string)model.ConfigJson["model_type"]!).ShouldBe("llama");
        model.TokenizerJsonPath.ShouldBe(folder.File("tokenizer.json"));
        model.GgufMetadata.ShouldBeNull();
        model.Tensors.ReadAll("w").ShouldBe([1, 2]);
        model.Files.ShouldBe([folder.File("config.json"), folder.File("model.safetensors")]);
    }

    [Fact]
    public void A_GGUF_file_is_opened_alone_or_as_the_only_one_of_a_folder()
    {
        var path = folder.Write("anything.gguf", GgufLlama.Model().Build());
        foreach (var given in new[] { path, folder.Path })
        {
            using var model = ModelSource.Open(given);
            model.Format.ShouldBe(ModelSource.Gguf);
            model.Path.ShouldBe(given);
            model.TokenizerJsonPath.ShouldBeNull();
            model.GgufMetadata!["general.architecture"].ShouldBe("llama");
            ((int)model.ConfigJson["hidden_size"]!).ShouldBe(GgufLlama.Hidden);
            model.Tensors.Contains("model.norm.weight").ShouldBeTrue();
            model.Files.ShouldBe([path]);
        }
        folder.Write("config.json", "{}");
        using (var model = ModelSource.Open(folder.Path))
            model.Format.ShouldBe(ModelSource.Gguf);
        CheckpointInspector.Inspect(folder.Path).Kind.ShouldBe("gguf");
        folder.Write("second.gguf", GgufLlama.Model().Build());
        Should.Throw<InvalidInputException>(() =>
            ModelSource.Open(folder.Path)).Message.ShouldContain("has 2 GGUF files (anything.gguf, second.gguf");
    }

    [Fact]
    public void What_is_missing_is_listed()
    {
        Refused("no such file or folder", folder.File("none"));
        Refused("lacks config.json and model.safetensors", folder.Path);
        folder.Write("config.json", "{}");
        Refused("has neither model.safetensors nor model.safetensors.index.json", folder.Path);
        folder.Write("weights.safetensors", SafetensorsBytes.Of("{}"));
        Refused("it has weights.safetensors", folder.Path);
        Refused("give its folder", folder.File("weights.safetensors"));
        WriteModel(folder);
        File.Delete(folder.File("config.json"));
        Refused("lacks config.json; ", folder.Path);
    }

    [Theory]
    [InlineData("[]", "not a JSON object")]
    [InlineData("""{"a":["\ud800"]}""", "not valid JSON")]
    [InlineData("{", "not valid JSON")]
    [InlineData("""{"a":1,"a":2}""", "not valid JSON")]
    [InlineData("", "empty")]
    public void A_damaged_configuration_is_refused(string config, string reason)
    {
        WriteModel(folder);
        folder.Write("config.json", config);
        Refused(reason, folder.Path);
    }

    [Fact]
    public void The_digest_depends_on_content_and_not_on_place()
    {
        using var other = new TemporaryFolder();
        WriteModel(folder);
        WriteModel(other);
        other.Write("README.md", "a card");
        var digest = Digest(folder.Path);
        digest.Length.ShouldBe(64);
        Digest(other.Path).ShouldBe(digest);
        WriteModel(other, 3);
        Digest(other.Path).ShouldNotBe(digest);
        WriteModel(other);
        other.Write("config.json", """{"model_type":"mistral"}""");
        Digest(other.Path).ShouldNotBe(digest);
        var gguf = GgufLlama.Model().Build();
        Digest(other.Write("a.gguf", gguf)).ShouldBe(Digest(folder.Write("b.gguf", gguf)));
    }

    [Fact]
    public void A_folder_is_inspected()
    {
        WriteModel(folder);
        folder.Write("config.json", """{"architectures":["LlamaForCausalLM"],"model_type":"llama","quantization_config":{"quant_method":"qbb"}}""");
        var inspection = CheckpointInspector.Inspect(folder.Path);
        inspection.Kind.ShouldBe("huggingface");
        inspection.Architecture.ShouldBe("LlamaForCausalLM");
        inspection.Quantization.ShouldBe("qbb");
        inspection.Elements.ShouldBe(5);
        inspection.Bytes.ShouldBe(2 * 4 + 3 * 2);
        inspection.Types.ShouldBe([new("F32", 1, 2, 8), new("BF16", 1, 3, 6)]);
        inspection.Files.Select(file => file.Name).ShouldBe(["config.json", "model.safetensors"]);
        var json = JsonNode.Parse(inspection.ToJson().ToJsonString())!;
        ((long)json["parameters"]!).ShouldBe(5);
        ((string)json["tensors"]![1]!["type"]!).ShouldBe("BF16");
        ((string)json["metadata"]!["format"]!).ShouldBe("pt");
        ((string)json["config"]!["model_type"]!).ShouldBe("llama");
    }

    [Fact]
    public void Single_files_are_inspected_whatever_their_name()
    {
        WriteModel(folder);
        File.Move(folder.File("model.safetensors"), folder.File("part"));
        var part = CheckpointInspector.Inspect(folder.File("part"));
        part.Kind.ShouldBe("safetensors");
        part.Architecture.ShouldBeNull();
        part.Tensors.Count.ShouldBe(2);
        var gguf = CheckpointInspector.Inspect(folder.Write("g", GgufLlama.Model("gemma").Add("long", GgufLlama.Numbers(20))
            .Add("odd", float.NaN).Build()));
        gguf.Kind.ShouldBe("gguf");
        gguf.Architecture.ShouldBe("gemma");
        gguf.ToJson()["metadata"]!["long"]!.ToJsonString().ShouldBe("""{"count":20,"first":[0,1,2,3,4,5,6,7]}""");
        gguf.ToJson()["metadata"]!["odd"]!.ToJsonString().ShouldBe("\"NaN\"");
        Should.Throw<InvalidInputException>(() => CheckpointInspector.Inspect(folder.Write("t", "some text, not weights")));
        Should.Throw<InvalidInputException>(() => CheckpointInspector.Inspect(folder.File("none")));
    }

    [Fact]
    public void The_totals_of_a_golden_file_are_those_of_its_description()
    {
        var inspection = CheckpointInspector.Inspect(Reference.Path("gguf", "wide-Q4_K_M.gguf"));
        inspection.Types.ToDictionary(total => total.Type, total => total.Tensors)
            .ShouldBe(new Dictionary<string, int> { ["Q6_K"] = 3, ["F32"] = 5, ["Q4_K"] = 13 }, ignoreOrder: true);
        inspection.Architecture.ShouldBe("llama");
        inspection.Files.Single().Bytes.ShouldBe(825824);
    }

    private static string Digest(string path)
    {
        using var model = ModelSource.Open(path);
        return ModelDigest.Compute(model);
    }

    private static void Refused(string reason, string path) =>
        Should.Throw<InvalidInputException>(() => ModelSource.Open(path)).Message.ShouldContain(reason);

    private static void WriteModel(TemporaryFolder folder, float value = 2)
    {
        folder.Write("config.json", """{"model_type":"llama"}""");
        using var writer = SafetensorsWriter.Create(folder.File("model.safetensors"), [new("w", "F32", [2]), new("h", "BF16", [3])]);
        writer.Write("w", [1, value]);
        writer.Write("h", [1, 2, 3]);
        writer.Commit();
    }
}
