using MassTransit;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Qbb.Hosting.Artifacts;
using Qbb.Hosting.Bus;
using Qbb.Hosting.Options;
using Qbb.Hosting.Startup;

namespace Qbb.Hosting.Tests;

public class OptionsTests
{
    [Fact]
    public void Settings_are_read()
    {
        var bus = Section("Bus", ("Transport", "RabbitMq"), ("Host", "broker"), ("Port", "1234"), ("Prefix", "a1")).Read<BusOptions>();
        (bus.Transport, bus.Host, bus.Port, bus.QueueOf("quantizer")).ShouldBe((BusTransport.RabbitMq, "broker", 1234, "a1-quantizer"));
    }

    [Theory]
    [InlineData("Transport", "pigeon", "Bus:Transport")]
    [InlineData("Port", "70000", "Bus:Port is 70000")]
    [InlineData("Port", "many", "Bus:Port")]
    [InlineData("Hots", "broker", "Hots")]
    [InlineData("Host", " ", "Bus:Host is empty")]
    [InlineData("Prefix", "A b", "Bus:Prefix")]
    [InlineData("PasswordFile", "/nowhere/password", "Bus:PasswordFile is /nowhere/password")]
    [InlineData("FinishSeconds", "-1", "Bus:FinishSeconds is -1")]
    public void What_is_wrong_is_named(string setting, string value, string named)
    {
        var error = Should.Throw<OptionsValidationException>(() => Section("Bus", (setting, value)).Read<BusOptions>());
        string.Join("; ", error.Failures).ShouldContain(named);
        ServiceHost.Explain(error)!.ShouldContain(named);
    }

    [Fact]
    public async Task A_stop_lasts_as_long_as_a_unit_may_take()
    {
        using var folder = new Qbb.Tests.TemporaryFolder();
        await using var app = ServiceHost.Build(["--Bus:FinishSeconds=100", $"--Artifacts:Folder={folder.Path}"], "test", "http://127.0.0.1:0", _ => { });
        var bus = app.Services.GetRequiredService<IOptions<MassTransitHostOptions>>().Value;
        bus.ConsumerStopTimeout.ShouldBe(TimeSpan.FromSeconds(100));
        bus.StopTimeout!.Value.ShouldBeInRange(TimeSpan.FromSeconds(101), app.Services.GetRequiredService<IOptions<HostOptions>>().Value.ShutdownTimeout - TimeSpan.FromSeconds(1));
    }

    [Fact]
    public void Everything_that_is_wrong_is_listed()
    {
        var error = Should.Throw<OptionsValidationException>(() => Section("Bus", ("Port", "0"), ("Prefix", "!")).Read<BusOptions>());
        error.Failures.Count().ShouldBe(2);
    }

    [Fact]
    public void A_setting_that_must_be_given_is_asked_for() =>
        Should.Throw<OptionsValidationException>(() => Section("Artifacts").Read<ArtifactOptions>()).Message.ShouldContain("Artifacts:Folder is not set");

    [Theory]
    [InlineData("Artifacts:S3:Bucket is not set", "Bucket", "")]
    [InlineData("Artifacts:S3:Bucket is My Models", "Bucket", "My Models")]
    [InlineData("Artifacts:S3:Endpoint is storage:9000", "Endpoint", "storage:9000")]
    [InlineData("Artifacts:S3:Prefix is a b", "Prefix", "a b")]
    [InlineData("Artifacts:S3:SecretKey (or SecretKeyFile) is not set", "AccessKey", "key")]
    [InlineData("Artifacts:S3:AccessKey is not set", "SecretKey", "secret")]
    [InlineData("Artifacts:S3:SecretKeyFile is /nowhere/key, where there is no file", "SecretKeyFile", "/nowhere/key")]
    [InlineData("Buckt", "Buckt", "models")]
    public void What_is_wrong_with_a_bucket_is_named(string named, string setting, string value)
    {
        var settings = new Dictionary<string, string> { ["S3:Bucket"] = "models", ["S3:Endpoint"] = "http://storage:9000", [$"S3:{setting}"] = value };
        Problems(settings).ShouldContain(named);
    }

    [Fact]
    public void Amazons_service_needs_a_region() =>
        Problems(new() { ["S3:Bucket"] = "models" }).ShouldContain("Artifacts:S3:Region is not set");

    [Theory]
    [InlineData("0")]
    [InlineData("-1")]
    [InlineData("NaN")]
    public void A_cache_has_a_limit(string gigabytes) =>
        Problems(new() { ["S3:Bucket"] = "models", ["S3:Region"] = "eu-north-1", ["CacheGigabytes"] = gigabytes }).ShouldContain("Artifacts:CacheGigabytes is " + gigabytes);

    [Fact]
    public void A_folder_as_store_asks_nothing_of_S3()
    {
        var options = Section("Artifacts", ("Folder", "/srv/qbb"), ("CacheGigabytes", "0.5")).Read<ArtifactOptions>();
        (options.Store, options.CacheBytes).ShouldBe((ArtifactPlace.Folder, 1L << 29));
    }

    [Fact]
    public void The_wait_has_a_range() =>
        Should.Throw<OptionsValidationException>(() => Section("Startup", ("WaitSeconds", "-1")).Read<StartupOptions>()).Message.ShouldContain("Startup:WaitSeconds is -1");

    [Fact]
    public void A_password_can_come_from_a_file()
    {
        using var folder = new Qbb.Tests.TemporaryFolder();
        Section("Bus", ("PasswordFile", folder.Write("password", "secret\n"))).Read<BusOptions>().ReadPassword().ShouldBe("secret");
    }

    private static string Problems(Dictionary<string, string> settings) => Should.Throw<OptionsValidationException>(() => Section(
        "Artifacts", [("Store", "S3"), ("Folder", "/srv/qbb"), .. settings.Select(setting => (setting.Key, setting.Value))]).Read<ArtifactOptions>()).Message;

    private static IConfigurationSection Section(string name, params (string Name, string Value)[] settings) => new ConfigurationBuilder()
        .AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create($"{name}:{setting.Name}", (string?)setting.Value))).Build().GetSection(name);
}
