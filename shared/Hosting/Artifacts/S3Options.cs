using System.Text.RegularExpressions;
using Amazon.Runtime;
using Amazon.S3;
using Qbb.Hosting.Options;

namespace Qbb.Hosting.Artifacts;

/// <summary>Section <c>Artifacts:S3</c> of the configuration.</summary>
public sealed partial class S3Options
{
    private const string UsualRegion = "us-east-1";

    public string Bucket { get; set; } = "";

    /// <summary>The service's address; null for that of Amazon in <see cref="Region"/>.</summary>
    public string? Endpoint { get; set; }

    /// <summary>Needed at Amazon; other services mostly take any.</summary>
    public string? Region { get; set; }

    /// <summary>The bucket stands in the path of the address, not in its host name; null: exactly where <see cref="Endpoint"/> is given.</summary>
    public bool? PathStyle { get; set; }

    /// <summary>A path before all keys, so that several systems share a bucket.</summary>
    public string Prefix { get; set; } = "";

    /// <summary>Null, as the secret: the SDK looks in the environment, its files and the machine's role.</summary>
    public string? AccessKey { get; set; }

    public string? SecretKey { get; set; }

    /// <summary>A file whose first line is the secret, instead of <see cref="SecretKey"/>.</summary>
    public string? SecretKeyFile { get; set; }

    /// <summary>The prefix as keys have it.</summary>
    public string KeyPrefix => Prefix.Length == 0 ? "" : Prefix.Trim('/') + "/";

    /// <summary>For messages.</summary>
    public string Address => Endpoint ?? $"Amazon, {Region}";

    /// <summary>What cannot be used.</summary>
    public IEnumerable<string> Problems()
    {
        if (!BucketName().IsMatch(Bucket))
        {
            yield return Bucket.Length == 0
                ? "Artifacts:S3:Bucket is not set; give the bucket"
                : $"Artifacts:S3:Bucket is {Bucket}: a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens";
        }
        if (Endpoint is not null && !(Uri.TryCreate(Endpoint, UriKind.Absolute, out var address) && address.Scheme is "http" or "https"))
            yield return $"Artifacts:S3:Endpoint is {Endpoint}; give an address such as https://storage.example.com:9000";
        if (Endpoint is null && string.IsNullOrWhiteSpace(Region))
            yield return "Artifacts:S3:Region is not set; give the bucket's region, or Artifacts:S3:Endpoint for a service other than Amazon's";
        if (!KeyPath().IsMatch(Prefix))
            yield return $"Artifacts:S3:Prefix is {Prefix}; it may have letters, digits, dots, hyphens, underscores and slashes";
        if (SecretKey is not null && SecretKeyFile is not null)
            yield return "Artifacts:S3:SecretKey and Artifacts:S3:SecretKeyFile are both set; give one";
        if (AccessKey is null != (SecretKey is null && SecretKeyFile is null))
        {
            var missing = AccessKey is null ? "AccessKey" : "SecretKey (or SecretKeyFile)";
            yield return $"Artifacts:S3:{missing} is not set; give both keys, or neither for the SDK's own search";
        }
        if (SecretKeyFile is not null && !File.Exists(SecretKeyFile))
            yield return $"Artifacts:S3:SecretKeyFile is {SecretKeyFile}, where there is no file";
    }

    /// <summary>A client of the service.</summary>
    public IAmazonS3 CreateClient()
    {
        var config = new AmazonS3Config { ForcePathStyle = PathStyle ?? Endpoint is not null, RetryMode = RequestRetryMode.Standard };
        if (Endpoint is null)
            config.RegionEndpoint = Amazon.RegionEndpoint.GetBySystemName(Region);
        else
            (config.ServiceURL, config.AuthenticationRegion) = (Endpoint, Region ?? UsualRegion);
        return AccessKey is null ? new AmazonS3Client(config) : new AmazonS3Client(new BasicAWSCredentials(AccessKey, ReadSecret()), config);
    }

    private string ReadSecret() => SecretKeyFile is null ? SecretKey! : OptionsExtensions.ReadSecret(SecretKeyFile);

    [GeneratedRegex("^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    private static partial Regex BucketName();

    [GeneratedRegex("^[A-Za-z0-9._/-]*$")]
    private static partial Regex KeyPath();
}
