using System.CommandLine;
using System.CommandLine.Parsing;
using Qbb.Cli.Loading;
using Qbb.Quantizer.Calibration;
using Qbb.Recipes;
using Qbb.Synthdata.Data;

namespace Qbb.Cli.Calibrating;

/// <summary>What <c>qbb quantize</c> is calibrated on, and to what end.</summary>
internal sealed class CalibrationChoices
{
    /// <summary>Sequences of a text, as the papers of GPTQ and AWQ calibrate.</summary>
    public const int UsualTextSequences = 128;

    private readonly Option<string?> _data = new("--calibration")
    {
        Description = "Calibration data from qbb sample or filter; minimises each layer's output error on it.",
    };
    private readonly Option<string?> _text = new("--text") { Description = "A UTF-8 text to calibrate on instead; - reads stdin." };
    private readonly Option<int?> _sequences = new("--calibration-sequences")
    {
        Description = $"Sequences to use. Default: all of --calibration, {UsualTextSequences} of --text.",
    };
    private readonly Option<int?> _context = new("--calibration-context")
    {
        Description = "Tokens of a sequence of --text. Default: 512, or the model's longest context if that is shorter.",
    };
    private readonly Option<bool> _allowLong = ModelLimits.AllowLongContext();
    private readonly Option<string?> _activations = new("--activations")
    {
        Description = "A folder for activations between blocks. Default: they are kept in memory.",
    };
    private readonly Option<string?> _dtype = Precision();
    private readonly Option<Importance?> _importance = new("--importance")
    {
        Description = "none: weights alone; diag: by the size of each input; full: least error of the layers' outputs. " +
            "Default: full, with --preset weights none.",
    };

    public IEnumerable<Option> All => [_data, _text, _sequences, _context, _allowLong, _activations, _dtype, _importance];

    private static Option<string?> Precision()
    {
        var option = new Option<string?>("--calibration-dtype") { Description = "Type in which the calibration data run through the model: fp32 (default) or bf16." };
        option.AcceptOnlyFromAmong("fp32", "bf16");
        return option;
    }

    /// <summary>Options that need one another.</summary>
    public void CheckTogether(CommandResult result)
    {
        var (hasData, hasText) = (result.GetValue(_data) is not null, result.GetValue(_text) is not null);
        if (hasData && hasText)
            result.AddError("give either --calibration or --text");
        if (!hasText && result.GetValue(_context) is not null)
            result.AddError("--calibration-context goes with --text: sampled sequences have their own length");
        if (!hasData && !hasText && (result.GetValue(_sequences) is not null || result.GetValue(_activations) is not null))
            result.AddError("--calibration-sequences and --activations go with --calibration or --text");
    }

    /// <summary>The importance that was requested; null for the default.</summary>
    public Importance? Given(ParseResult parsed) => parsed.GetValue(_importance);

    /// <summary>Whether there are data on the command line.</summary>
    public bool HasData(ParseResult parsed) => parsed.GetValue(_data) is not null || parsed.GetValue(_text) is not null;

    /// <summary>The data; null if there are none.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="model">The model to calibrate; its tokenizer reads the text.</param>
    /// <param name="device">Where it runs.</param>
    /// <param name="cancel">Stops opening.</param>
    public OpenCalibration? Open(ParseResult parsed, string model, Device device, CancellationToken cancel)
    {
        if (!HasData(parsed))
            return null;
        var options = new CalibrationOptions
        {
            Sequences = parsed.GetValue(_sequences),
            Device = device,
            ActivationFolder = parsed.GetValue(_activations),
            DType = parsed.GetValue(_dtype) == "bf16" ? ScalarType.BFloat16 : ScalarType.Float32,
        };
        if (parsed.GetValue(_data) is { } folder)
        {
            var data = new SampledSequences(SampledData.Open(folder, cancel));
            try
            {
                return new OpenCalibration(new CalibrationStream(data, options), data);
            }
            catch
            {
                data.Dispose();
                throw;
            }
        }
        var text = TextSequences.Read(parsed.GetRequiredValue(_text)!, model, _context.Name, parsed.GetValue(_context), ModelLimits.AllowsLongContext(parsed));
        var count = options.Sequences ?? Math.Min(UsualTextSequences, text.Count);
        return new OpenCalibration(new CalibrationStream(text, options with { Sequences = count }), text);
    }
}
