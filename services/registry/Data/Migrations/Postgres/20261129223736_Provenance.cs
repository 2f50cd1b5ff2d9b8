using System;
using Microsoft.EntityFrameworkCore.Migrations;

#nullable disable

namespace Qbb.Registry.Data.Migrations.Postgres
{
    /// <inheritdoc />
    public partial class Provenance : Migration
    {
        /// <inheritdoc />
        protected override void Up(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.AddColumn<string>(
                name: "Command",
                table: "units",
                type: "text",
                nullable: true);

            migrationBuilder.AddColumn<string>(
                name: "Environment",
                table: "units",
                type: "character varying(128)",
                maxLength: 128,
                nullable: true);

            migrationBuilder.AddColumn<int>(
                name: "Size",
                table: "units",
                type: "integer",
                nullable: true);

            migrationBuilder.CreateTable(
                name: "provenances",
                columns: table => new
                {
                    VersionId = table.Column<Guid>(type: "uuid", nullable: false),
                    Base = table.Column<string>(type: "character varying(64)", maxLength: 64, nullable: false),
                    StartedAt = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: true),
                    FinishedAt = table.Column<DateTimeOffset>(type: "timestamp with time zone", nullable: false),
                    Units = table.Column<string>(type: "text", nullable: false)
                },
                constraints: table =>
                {
                    table.PrimaryKey("PK_provenances", x => x.VersionId);
                    table.ForeignKey(
                        name: "FK_provenances_versions_VersionId",
                        column: x => x.VersionId,
                        principalTable: "versions",
                        principalColumn: "Id",
                        onDelete: ReferentialAction.Cascade);
                });
        }

        /// <inheritdoc />
        protected override void Down(MigrationBuilder migrationBuilder)
        {
            migrationBuilder.DropTable(
                name: "provenances");

            migrationBuilder.DropColumn(
                name: "Command",
                table: "units");

            migrationBuilder.DropColumn(
                name: "Environment",
                table: "units");

            migrationBuilder.DropColumn(
                name: "Size",
                table: "units");
        }
    }
}
