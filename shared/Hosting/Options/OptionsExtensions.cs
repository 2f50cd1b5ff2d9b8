using System.ComponentModel.DataAnnotations;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

namespace Qbb.Hosting.Options;

/// <summary>Options that are looked at before a service starts; what is wrong is said with the name of the setting.</summary>
public static class OptionsExtensions
{
    /// <summary>Binds options to a section and validates them at start.</summary>
    public static OptionsBuilder<T> AddValidatedOptions<T>(this IServiceCollection services, string section)
        where T : class, new()
    {
        services.AddSingleton<IValidateOptions<T>>(new SectionValidator<T>(section));
        return services.AddOptions<T>().Configure<IConfiguration>((options, configuration) => Bind(configuration.GetSection(section), options)).ValidateOnStart();
    }

    /// <summary>Options as a section has them, where they are needed before the services exist.</summary>
    /// <exception cref="OptionsValidationException">A value is of the wrong kind, or a member is unknown.</exception>
    public static T Read<T>(this IConfigurationSection section)
        where T : class, new()
    {
        var options = new T();
        Bind(section, options);
        var result = new SectionValidator<T>(section.Path).Validate(null, options);
        return result.Failed ? throw new OptionsValidationException(section.Path, typeof(T), result.Failures) : options;
    }

    /// <summary>A secret that a file keeps: its first line.</summary>
    public static string ReadSecret(string file) => File.ReadLines(file).FirstOrDefault()?.Trim() ?? "";

    private static void Bind<T>(IConfigurationSection section, T options)
        where T : class
    {
        try
        {
            // A misspelt setting would otherwise be a default that nobody requested.
            section.Bind(options, binder => binder.ErrorOnUnknownConfiguration = true);
        }
        catch (InvalidOperationException error)
        {
            var reason = error.InnerException is { } inner ? $"{error.Message} {inner.Message}" : error.Message;
            throw new OptionsValidationException(section.Path, typeof(T), [$"the settings {section.Path} cannot be used: {reason}"]);
        }
    }

    /// <summary>Attributes and <see cref="IValidatableObject"/>, with the setting's full name in every message.</summary>
    private sealed class SectionValidator<T>(string section) : IValidateOptions<T>
        where T : class
    {
        public ValidateOptionsResult Validate(string? name, T options)
        {
            var results = new List<ValidationResult>();
            if (Validator.TryValidateObject(options, new ValidationContext(options), results, validateAllProperties: true))
                return ValidateOptionsResult.Success;
            return ValidateOptionsResult.Fail(results.Select(result => Message(result, options)));
        }

        private string Message(ValidationResult result, T options)
        {
            var member = result.MemberNames.FirstOrDefault();
            if (member is null || result.ErrorMessage!.StartsWith(section, StringComparison.Ordinal))
                return result.ErrorMessage!;
            return $"{section}:{member} is {typeof(T).GetProperty(member)?.GetValue(options) ?? "not set"}: {result.ErrorMessage}";
        }
    }
}
