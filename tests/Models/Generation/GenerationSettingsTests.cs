using Qbb.Checkpoints;
using Qbb.Models.Generation;
using Qbb.Tests;

namespace Qbb.Models.Tests.Generation;

public sealed class GenerationSettingsTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("""{"temperature": 0.6, "top_k": 50, "top_p": "0.9", "do_sample": true}""", 0.6, 50, 0.9)]
    [InlineData("""{"temperature": 0.6, "do_sample": false}""", 0.0, null, null)]
    [InlineData("{}", null, null, null)]
    [InlineData("""{"min_p": 0.05, "repetition_penalty": 1.1}""", null, null, null, 0.05, 1.1)]
    public void Settings_are_read(string json, double? temperature, int? topK, double? topP, double? minP = null, double? penalty = null) =>
        Of(json).ShouldBe(new(temperature, topK, topP, minP, penalty));

    [Theory]
    [InlineData("""{"top_k": 0.5}""", "top_k")]
    [InlineData("""{"temperature": "hot"}""", "temperature")]
    [InlineData("{", "not valid JSON")]
    public void Faults_are_named(string json, string named)
    {
        var message = Should.Throw<InvalidInputException>(() => Of(json)).Message;
        message.ShouldContain("generation_config.json");
        message.ShouldContain(named);
    }

    private GenerationSettings Of(string json)
    {
        foreach (var file in Directory.GetFiles(Reference.Path("field", "eos-string")))
            File.Copy(file, _folder.File(Path.GetFileName(file)), overwrite: true);
        _folder.Write("generation_config.json", json);
        using var source = ModelSource.Open(_folder.Path);
        return GenerationSettings.Of(source);
    }
}
