using System.ComponentModel;
using System.Diagnostics;
using Qbb.Tests;

namespace Qbb.Cli.Tests;

/// <summary>
/// What integrations/transformers reads: its plain reading of the format, in Python without libraries, gives the weights of an export. The same file compares
/// the package with that reading where torch is.
/// </summary>
public sealed class TransformersFormatTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("llama-gqa-tied", "--bases 3 --embedding 6"), InlineData("phi3", "--bases 2 --group row --no-bias"), InlineData("gpt2", "--bases 2 --group 16 --embedding 4")]
    [InlineData("llama-gqa-tied", "--target gguf-q4_1"), InlineData("mistral", "--target gguf-q4_0"), InlineData("llama-gqa-tied", "--target gptq --group 32"), InlineData("llama-gqa-tied", "--bases 2 --nested"), InlineData("qwen2", "--bases 2 --embedding bases")]
    public void A_plain_reading_of_the_format_gives_the_exported_weights(string model, string options)
    {
        var (quantized, exported) = (_folder.File("q"), _folder.File("plain"));
        var made = QbbCommands.Run(["quantize", Reference.Path("architectures", model), "-o", quantized, "--preset", "weights", .. options.Split(' ')]);
        made.Code.ShouldBe(0, made.Error);
        QbbCommands.Run("export", quantized, "--format", "fp32", "-o", exported).Code.ShouldBe(0);
        using var python = Start(Path.Combine(Reference.Root, "integrations", "transformers", "test_format.py"), quantized, exported);
        var (output, error) = (python.StandardOutput.ReadToEnd(), python.StandardError.ReadToEnd());
        python.WaitForExit();
        python.ExitCode.ShouldBe(0, error);
        output.ShouldContain(": equal, largest relative difference 0.0e+00");
    }

    private static Process Start(params string[] arguments)
    {
        try
        {
            return Process.Start(new ProcessStartInfo("python3", arguments) { RedirectStandardOutput = true, RedirectStandardError = true, Environment = { ["PYTHONDONTWRITEBYTECODE"] = "1" } })!;
        }
        catch (Win32Exception)
        {
            Assert.Skip("python3 is not installed");
            throw;
        }
    }
}
