"""The Dagster page in a browser that selenium steers."""

from __future__ import annotations

from selenium.common import exceptions
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

_MOVING = (
    exceptions.NoSuchElementException,
    exceptions.StaleElementReferenceException,
    exceptions.ElementClickInterceptedException,
    exceptions.ElementNotInteractableException,
)


class Page:
    """The Dagster page; everything on it appears some time after it was asked for."""

    def __init__(self, browser, url, patience_s=40):
        self.browser, self.url, self.patience_s = browser, url, patience_s

    def open(self, path):
        self.browser.get(self.url + path)

    def text(self, xpath="//body"):
        return self.browser.find_element(By.XPATH, xpath).text

    def wait_for(self, *texts):
        def shown(browser):
            page = browser.find_element(By.TAG_NAME, "body").text
            return all(text in page for text in texts)

        WebDriverWait(self.browser, self.patience_s, ignored_exceptions=_MOVING).until(
            shown, f"not all of {texts} appear in:\n{self.text()}"
        )

    def click(self, xpath):
        def clicked(browser):
            found = browser.find_elements(By.XPATH, xpath)
            [entry for entry in found if entry.is_displayed()][-1].click()
            return True

        WebDriverWait(
            self.browser, self.patience_s, ignored_exceptions=(IndexError, *_MOVING)
        ).until(clicked, f"nothing to click at {xpath}")

    def find(self, xpath):
        return WebDriverWait(self.browser, self.patience_s).until(
            lambda browser: browser.find_element(By.XPATH, xpath), f"no {xpath}"
        )
