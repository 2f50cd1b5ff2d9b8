using System.ComponentModel.DataAnnotations;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Qbb.Registry.Mlflow.Client;

/// <summary>Section <c>Mlflow</c> of the configuration: the MLflow server that is told of pipelines and versions.</summary>
public sealed class MlflowOptions : IValidatableObject
{
    public const string Section = "Mlflow";

    /// <summary>The server's address; null to tell none.</summary>
    public string? TrackingUri { get; set; }

    /// <summary>The experiment of the runs; it is created if need be.</summary>
    public string Experiment { get; set; } = "qbb";

    /// <summary>Comes before the names of models in MLflow's registry.</summary>
    public string ModelPrefix { get; set; } = "";

    /// <summary>The registry's address for links in MLflow; null: where it listens.</summary>
    public string? PublicUrl { get; set; }

    /// <summary>Also uploads the files of quantized versions to MLflow's artifact store.</summary>
    public bool UploadFiles { get; set; }

    /// <summary>A bearer token.</summary>
    public string? Token { get; set; }

    /// <summary>A file whose first line is the token; it is read again when the server refuses the one that was read.</summary>
    public string? TokenFile { get; set; }

    /// <summary>With the password: basic authentication.</summary>
    public string? Username { get; set; }

    public string? Password { get; set; }

    public string? PasswordFile { get; set; }

    /// <summary>PEM file of the certificates that may sign the server's, instead of the system's.</summary>
    public string? CaFile { get; set; }

    /// <summary>Seconds that a request may take; uploads and downloads may take longer.</summary>
    [Range(0.1, 3600)]
    public double RequestSeconds { get; set; } = 30;

    /// <summary>Seconds between two looks for new versions that a policy watches for.</summary>
    [Range(0.1, 86_400)]
    public double PollSeconds { get; set; } = 60;

    /// <summary>Days that sent changes are kept, to be sent again if the server loses its database.</summary>
    [Range(0, 10_000)]
    public double KeepDays { get; set; } = 7;

    public bool IsOn => !string.IsNullOrWhiteSpace(TrackingUri);

    public IEnumerable<ValidationResult> Validate(ValidationContext validationContext)
    {
        if (IsOn && !IsAddress(TrackingUri))
            yield return new($"Mlflow:TrackingUri is {TrackingUri}; give an address such as https://mlflow.example.com");
        if (PublicUrl is not null && !IsAddress(PublicUrl))
            yield return new($"Mlflow:PublicUrl is {PublicUrl}; give an address such as https://models.example.com");
        if (string.IsNullOrWhiteSpace(Experiment))
            yield return new("Mlflow:Experiment is empty; give a name");
        if (ModelPrefix.AsSpan().IndexOfAny("/:'\"") >= 0)
            yield return new($"Mlflow:ModelPrefix is {ModelPrefix}; names of MLflow's models cannot have slashes, colons or quotes");
        foreach (var (given, name) in new[] { (Token is not null && TokenFile is not null, "Token"), (Password is not null && PasswordFile is not null, "Password") })
        {
            if (given)
                yield return new($"Mlflow:{name} and Mlflow:{name}File are both set; give one");
        }
        var (hasToken, hasPassword) = (Token is not null || TokenFile is not null, Password is not null || PasswordFile is not null);
        if (hasToken && Username is not null)
            yield return new("Mlflow:Token and Mlflow:Username are both set; give one");
        if (Username is null == hasPassword)
            yield return new($"Mlflow:{(hasPassword ? "Username" : "Password (or PasswordFile)")} is not set; give both or neither");
        foreach (var (file, name) in new[] { (TokenFile, "TokenFile"), (PasswordFile, "PasswordFile"), (CaFile, "CaFile") })
        {
            if (file is not null && !File.Exists(file))
                yield return new($"Mlflow:{name} is {file}: there is no such file");
        }
        if (CaFile is not null && File.Exists(CaFile) && ReadAuthorities() is null or { Count: 0 })
            yield return new($"Mlflow:CaFile is {CaFile}: it has no certificate in PEM form");
    }

    /// <summary>The certificates of <see cref="CaFile"/>; null where it cannot be read.</summary>
    internal X509Certificate2Collection? ReadAuthorities()
    {
        var found = new X509Certificate2Collection();
        try
        {
            found.ImportFromPemFile(CaFile!);
            return found;
        }
        catch (CryptographicException)
        {
            return null;
        }
    }

    private static bool IsAddress(string? text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https" && !text!.Contains('\'');
}
