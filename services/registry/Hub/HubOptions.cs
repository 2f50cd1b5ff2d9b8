using System.ComponentModel.DataAnnotations;
using Qbb.Artifacts.Hub;
using Qbb.Contracts;
using Qbb.Hosting.Options;

namespace Qbb.Registry.Hub;

/// <summary>Section <c>Hub</c> of the configuration: the Hugging Face hub that policies watch.</summary>
public sealed class HubOptions : IValidatableObject
{
    public const string Section = "Hub";

    /// <summary>The hub's address; null: HF_ENDPOINT, else https://huggingface.co.</summary>
    public string? Endpoint { get; set; }

    /// <summary>A token for gated and private models; null: HF_TOKEN.</summary>
    public string? Token { get; set; }

    /// <summary>A file with the token.</summary>
    public string? TokenFile { get; set; }

    /// <summary>Seconds between two looks at the models that policies watch.</summary>
    [Range(0.1, 604_800)]
    public double PollSeconds { get; set; } = 600;

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (Endpoint is not null && (!Uri.TryCreate(Endpoint, UriKind.Absolute, out var uri) || uri.Scheme is not ("http" or "https")))
            yield return new($"Hub:Endpoint is {Endpoint}; give an address such as https://huggingface.co");
        if (Token is not null && TokenFile is not null)
            yield return new("Hub:Token and Hub:TokenFile are both set; give one");
        if (TokenFile is not null && !File.Exists(TokenFile))
            yield return new($"Hub:TokenFile is {TokenFile}: there is no such file");
    }

    /// <summary>The settings of the client: what is not set here comes from the variables of Hugging Face's own tools.</summary>
    /// <exception cref="InvalidInputException">HF_ENDPOINT is not a URL.</exception>
    internal HubSettings ToSettings() => HubSettings.From(name => name switch
    {
        "HF_ENDPOINT" when Endpoint is not null => Endpoint,
        "HF_TOKEN" when Token is not null || TokenFile is not null => Token ?? OptionsExtensions.ReadSecret(TokenFile!),
        _ => Environment.GetEnvironmentVariable(name),
    });
}
