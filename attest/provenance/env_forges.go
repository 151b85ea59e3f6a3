package provenance

import "strings"

// systems returns the table of build systems.
func systems() []*system {
	return []*system{
		gitHubActions(), gitLabCI(), woodpecker(), drone(),
		jenkins(), buildkite(), circleCI(), azurePipelines(),
		codeBuild(), googleCloudBuild(), tekton(),
	}
}

// gitHubActions maps GitHub Actions to GitHub's own build type.
//
// Source: GitHub Docs, "Variables reference: default environment variables"; the
// build type's specification at its URI.
func gitHubActions() *system {
	return &system{
		name: "github-actions", title: "GitHub Actions", marker: "GITHUB_ACTIONS", markerValue: "true",
		buildType: "https://actions.github.io/buildtypes/workflow/v1",
		external: []field{
			{"workflow.repository", "${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}", address, true},
		},
		internal: []field{
			{"github.event_name", "${GITHUB_EVENT_NAME}", text, true},
			{"github.repository_id", "${GITHUB_REPOSITORY_ID}", text, false},
			{"github.repository_owner_id", "${GITHUB_REPOSITORY_OWNER_ID}", text, false},
			{"github.runner_environment", "${RUNNER_ENVIRONMENT}", text, false},
		},
		repository: []template{"${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}"},
		ref:        []template{"${GITHUB_REF}"}, commit: "${GITHUB_SHA}",
		invocation: "${GITHUB_SERVER_URL}/${GITHUB_REPOSITORY}/actions/runs/${GITHUB_RUN_ID}/attempts/${GITHUB_RUN_ATTEMPT}",
		derived:    []string{"GITHUB_WORKFLOW_REF", "GITHUB_REPOSITORY"},
		derive:     gitHubWorkflow,
	}
}

// gitHubWorkflow splits GITHUB_WORKFLOW_REF, as in
// octo/hello/.github/workflows/release.yml@refs/heads/main.
func gitHubWorkflow(r *reader, f *Facts) {
	file, ref, found := strings.Cut(r.get("GITHUB_WORKFLOW_REF"), "@")
	path, ours := strings.CutPrefix(file, r.get("GITHUB_REPOSITORY")+"/")
	if !found || !ours || path == "" || !isRef(ref) {
		r.fail("GITHUB_WORKFLOW_REF is not REPOSITORY/PATH@REF")
		return
	}
	set(f.ExternalParameters, "workflow.path", cleanText(path))
	set(f.ExternalParameters, "workflow.ref", ref)
}

// gitLabCI maps GitLab CI/CD.
//
// Source: GitLab Docs, "Predefined CI/CD variables reference".
func gitLabCI() *system {
	return &system{
		name: "gitlab-ci", title: "GitLab CI", marker: "GITLAB_CI", markerValue: "true",
		buildType: buildTypes + "#gitlab-v1",
		external: []field{
			{"project", "${CI_PROJECT_URL}", address, true},
			{"configPath", "${CI_CONFIG_PATH}", text, false},
			{"job", "${CI_JOB_NAME}", text, true},
			{"ref", "${CI_COMMIT_REF_NAME}", text, true},
			{"pipelineSource", "${CI_PIPELINE_SOURCE}", text, false},
		},
		internal: []field{
			{"projectId", "${CI_PROJECT_ID}", text, false},
			{"pipelineId", "${CI_PIPELINE_ID}", text, false},
			{"jobId", "${CI_JOB_ID}", text, false},
			{"runnerId", "${CI_RUNNER_ID}", text, false},
			{"refProtected", "${CI_COMMIT_REF_PROTECTED}", text, false},
		},
		version: []field{
			{"gitlab", "${CI_SERVER_VERSION}", text, false},
			{"gitlab-runner", "${CI_RUNNER_VERSION}", text, false},
		},
		repository: []template{"${CI_PROJECT_URL}"},
		ref:        []template{"refs/tags/${CI_COMMIT_TAG}", "${CI_MERGE_REQUEST_REF_PATH}", "refs/heads/${CI_COMMIT_BRANCH}"},
		commit:     "${CI_COMMIT_SHA}", invocation: "${CI_JOB_URL}", started: "${CI_JOB_STARTED_AT}",
	}
}

// woodpecker maps Woodpecker CI.
//
// Source: Woodpecker Docs, "Environment variables: built-in environment
// variables".
func woodpecker() *system {
	return &system{
		name: "woodpecker", title: "Woodpecker CI", marker: "CI_SYSTEM_NAME", markerValue: "woodpecker",
		buildType: buildTypes + "#woodpecker-v1",
		external: []field{
			{"repository", "${CI_REPO_URL}", address, true},
			{"workflow", "${CI_WORKFLOW_NAME}", text, false},
			{"event", "${CI_PIPELINE_EVENT}", text, true},
			{"ref", "${CI_COMMIT_REF}", text, false},
		},
		internal: []field{
			{"pipeline", "${CI_PIPELINE_NUMBER}", count, false},
			{"step", "${CI_STEP_NAME}", text, false},
		},
		version:    []field{{"woodpecker", "${CI_SYSTEM_VERSION}", text, false}},
		repository: []template{"${CI_REPO_CLONE_URL}", "${CI_REPO_URL}"},
		ref:        []template{"${CI_COMMIT_REF}"}, commit: "${CI_COMMIT_SHA}",
		invocation: "${CI_PIPELINE_URL}", started: "${CI_PIPELINE_STARTED}", clock: unixSeconds,
	}
}

// drone maps Drone and Harness CI Open Source.
//
// Source: Drone Docs, "Pipeline environment: reference".
func drone() *system {
	return &system{
		name: "drone", title: "Drone", marker: "DRONE", markerValue: "true",
		buildType: buildTypes + "#drone-v1",
		external: []field{
			{"repository", "${DRONE_REPO_LINK}", address, true},
			{"stage", "${DRONE_STAGE_NAME}", text, false},
			{"event", "${DRONE_BUILD_EVENT}", text, true},
			{"ref", "${DRONE_COMMIT_REF}", text, false},
		},
		internal: []field{
			{"build", "${DRONE_BUILD_NUMBER}", count, false},
			{"step", "${DRONE_STEP_NAME}", text, false},
		},
		version:    []field{{"drone", "${DRONE_SYSTEM_VERSION}", text, false}},
		repository: []template{"${DRONE_GIT_HTTP_URL}", "${DRONE_REPO_LINK}"},
		ref:        []template{"${DRONE_COMMIT_REF}"}, commit: "${DRONE_COMMIT_SHA}",
		invocation: "${DRONE_BUILD_LINK}", started: "${DRONE_BUILD_STARTED}", clock: unixSeconds,
	}
}
